-- Starts a rollout.
-- KEYS: route, rollout, rollouts, ticks, events
-- ARGV: upstream, id, revision, doc, evidence, now, actor, changes channel,
--       prefix of rollout keys, prefix of recorded ticks, how many rollouts
--       are kept, how many events, of which age in ms, data of the event
-- Gives {outcome, seq, revision, rollout}.

local route, rollout, rollouts, ticks, events = unpack(KEYS)
local upstream, id, expected, doc, evidence, now, actor = unpack(ARGV, 1, 7)
local changes, prefix, recorded = ARGV[8], ARGV[9], ARGV[10]
local kept, many, age, data = tonumber(ARGV[11]), unpack(ARGV, 12, 14)
local oldest = string.format('%.0f', tonumber(now) - tonumber(age))

local revision = redis.call('HGET', route, 'revision') or '0'

if redis.call('HGET', route, 'active') == '1' then
    local other = redis.call('HGET', route, 'rollout') or ''
    return {'active', '0', revision, other}
end

if revision ~= expected then
    return {'revision', '0', revision, ''}
end

if redis.call('EXISTS', rollout) == 1 then
    return {'active', '0', revision, id}
end

redis.call('HSET', rollout, 'seq', '1', 'doc', doc, 'evidence', evidence)
redis.call('ZADD', rollouts, now, id)
redis.call('HSET', route, 'rollout', id, 'active', '1')

-- What the nodes counted for an earlier rollout has been judged, and what
-- was judged is kept with that rollout.
redis.call('DEL', ticks)

local old = redis.call('ZRANGE', rollouts, 0, -kept - 1)
for _, name in ipairs(old) do
    redis.call('DEL', prefix .. name, recorded .. name)
    redis.call('ZREM', rollouts, name)
end

-- Their keys ran out by themselves.
redis.call('ZREMRANGEBYSCORE', rollouts, '-inf', '(' .. oldest)

redis.call('XADD', events, 'MAXLEN', '~', many, '*', 'at', now,
           'type', 'created', 'rollout', id, 'revision', revision,
           'actor', actor, 'detail', '', 'data', data)
redis.call('XTRIM', events, 'MINID', '~', oldest)
redis.call('PUBLISH', changes, upstream .. ' ' .. revision)

return {'ok', '1', revision, id}
