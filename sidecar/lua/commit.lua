-- The one way in which a rollout and its upstream's record change.
-- KEYS: route, rollout, events, leader, recorded ticks of the rollout,
--       what has succeeded
-- ARGV: upstream, id, seq, leader ("": anyone), doc, evidence ("": stays),
--       revision ("0": no new record), record, active, now, actor,
--       changes channel, how many events are kept, of which age in ms,
--       how many ticks are kept, when the tick was judged ("0": no tick),
--       what was judged beside its counts, its counts,
--       "+" (has succeeded) or "-" (was taken back) with the environment and
--       version ("": neither), how many of these are kept,
--       then triples of event type, detail and data
-- Gives {outcome, seq, revision, rollout}.

local route, rollout, events, leader, recorded, succeeded = unpack(KEYS)
local upstream, id, expected, token, doc, evidence = unpack(ARGV, 1, 6)
local revision, record, active, now, actor, changes = unpack(ARGV, 7, 12)
local kept, age, ticks, judged, given, counts = unpack(ARGV, 13, 18)
local success, versions, first = ARGV[19], ARGV[20], 21

local seq = redis.call('HGET', rollout, 'seq') or '0'
local present = redis.call('HGET', route, 'revision') or '0'
local latest = redis.call('HGET', route, 'rollout') or ''
local was = redis.call('HGET', route, 'active') or '0'

if seq ~= expected then
    return {'seq', seq, present, latest}
end

if token ~= '' and redis.call('GET', leader) ~= token then
    return {'leader', seq, present, latest}
end

-- Only the latest rollout has a say about traffic.
if latest ~= id then
    return {'active', seq, present, latest}
end

if revision ~= '0' then
    if tonumber(revision) <= tonumber(present) then
        return {'revision', seq, present, latest}
    end
    redis.call('HSET', route, 'revision', revision, 'record', record)
    present = revision
end

seq = tostring(tonumber(seq) + 1)
redis.call('HSET', rollout, 'seq', seq, 'doc', doc)

if evidence ~= '' then
    redis.call('HSET', rollout, 'evidence', evidence)
end

if active ~= was then
    redis.call('HSET', route, 'active', active)
end

-- What was judged, to be judged again by whoever asks why.
if judged ~= '0' then
    redis.call('XADD', recorded, 'MAXLEN', '~', ticks, '*', 'at', judged,
               'given', given, 'counts', counts)
end

if active == '1' then
    redis.call('PERSIST', rollout)
    redis.call('PERSIST', recorded)
else
    redis.call('PEXPIRE', rollout, age)
    redis.call('PEXPIRE', recorded, age)
end

-- The newest of both counts: what was taken back has not succeeded.
if success ~= '' then
    local sign, version = success:sub(1, 1), success:sub(2)
    redis.call('ZREM', succeeded, (sign == '+' and '-' or '+') .. version)
    redis.call('ZADD', succeeded, now, success)
    redis.call('ZREMRANGEBYRANK', succeeded, 0, -tonumber(versions) - 1)
end

for i = first, #ARGV - 2, 3 do
    redis.call('XADD', events, 'MAXLEN', '~', kept, '*', 'at', now,
               'type', ARGV[i], 'rollout', id, 'revision', present,
               'actor', actor, 'detail', ARGV[i + 1], 'data', ARGV[i + 2])
end

if #ARGV >= first then
    redis.call('XTRIM', events, 'MINID', '~',
               string.format('%.0f', tonumber(now) - tonumber(age)))
end

if revision ~= '0' or active ~= was or #ARGV >= first then
    redis.call('PUBLISH', changes, upstream .. ' ' .. present)
end

return {'ok', seq, present, latest}
