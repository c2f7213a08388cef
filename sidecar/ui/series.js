// A rollout's past, as canaryd recorded it, and its present, as this page
// sees it: one list of points.

import { canaryWeight } from './states.js';

const MOST = 4000;

/**
 * @typedef {{at: number, weight: number, evidence: number, safe: number,
 *   stable: Group, canary: Group}} Point   at in seconds
 * @typedef {{requests_per_second: number, error_rate: number|null,
 *   p50_ms: number|null, p99_ms: number|null}} Group
 */

/** Points of GET /v1/rollouts/{id}/series. */
export function recorded(answer) {
  const s = answer.series;
  const group = (g, i) => ({
    requests_per_second: g.requests_per_second[i],
    error_rate: g.error_rate[i], p50_ms: g.p50_ms[i], p99_ms: g.p99_ms[i],
  });

  return s.at_ms.map((at, i) => ({
    at: at / 1000, weight: s.weight[i], evidence: s.log_evidence[i],
    safe: s.log_safe[i], stable: group(s.stable, i),
    canary: group(s.canary, i),
  }));
}

const NOTHING = { requests_per_second: 0, error_rate: null, p50_ms: null,
  p99_ms: null };

/** The rollout as it is now, as a point. */
export function present(rollout) {
  return {
    at: Date.parse(rollout.updated) / 1000,
    weight: canaryWeight(rollout),
    evidence: rollout.judgement?.log_evidence ?? 0,
    safe: rollout.judgement?.log_safe ?? 0,
    stable: rollout.traffic[rollout.stable] ?? NOTHING,
    canary: rollout.traffic[rollout.canary] ?? NOTHING,
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
