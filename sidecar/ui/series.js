// A rollout's past, as canaryd recorded it, and its present, as this page
// sees it: one list of points.

import { judged, judgementOf, weightOf } from './states.js';

const MOST = 4000;

/**
 * @typedef {{requests_per_second: number, error_rate: number|null,
 *   p50_ms: number|null, p99_ms: number|null}} Group
 * @typedef {Group & {weight: number, evidence: number, safe: number}} Judged
 * @typedef {{at: number, stable: Group, groups: Judged[]}} Point
 *   at in seconds; groups in the order of groupsOf()
 */

/** The groups that are compared with stable, of GET
 * /v1/rollouts/{id}/series. */
export function groupsOf(answer) {
  return answer.series.groups ? Object.keys(answer.series.groups)
    : [answer.canary_group];
}

/** Its points. */
export function recorded(answer) {
  const s = answer.series;
  const columns = s.groups ? Object.values(s.groups)
    : [{ ...s.canary, weight: s.weight, log_evidence: s.log_evidence,
      log_safe: s.log_safe }];
  const traffic = (g, i) => ({
    requests_per_second: g.requests_per_second[i],
    error_rate: g.error_rate[i], p50_ms: g.p50_ms[i], p99_ms: g.p99_ms[i],
  });

  return s.at_ms.map((at, i) => ({
    at: at / 1000, stable: traffic(s.stable, i),
    groups: columns.map((g) => ({ ...traffic(g, i), weight: g.weight[i],
      evidence: g.log_evidence[i], safe: g.log_safe[i] })),
  }));
}

const NOTHING = { requests_per_second: 0, error_rate: null, p50_ms: null,
  p99_ms: null };

/** The rollout as it is now, as a point. */
export function present(rollout) {
  return {
    at: Date.parse(rollout.updated) / 1000,
    stable: rollout.traffic[rollout.stable] ?? NOTHING,
    groups: judged(rollout).map((name) => ({
      ...rollout.traffic[name] ?? NOTHING,
      weight: weightOf(rollout, name),
      evidence: judgementOf(rollout, name)?.log_evidence ?? 0,
      safe: judgementOf(rollout, name)?.log_safe ?? 0,
    })),
  };
}

export class Series {
  constructor() {
    /** @type {Point[]} */
    this.points = [];
  }

  /** What was recorded, and after it what only this page saw. */
  replace(points) {
    const end = points.at(-1)?.at ?? 0;

    this.points = [...points, ...this.points.filter((p) => p.at > end)];
  }

  add(point) {
    if (!(point.at > (this.points.at(-1)?.at ?? 0))) {
      return;
    }
    this.points.push(point);
    if (this.points.length > MOST) {
      this.points = this.points.filter((p, i) => i % 2 === 0);
    }
  }

  column(pick) {
    return this.points.map(pick);
  }
}
