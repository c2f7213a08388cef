-- Starts a rollout.
-- KEYS: route, rollout, rollouts, ticks, events
-- ARGV: upstream, id, revision, doc, evidence, now, actor, changes channel,
--       prefix of rollout keys, how many rollouts are kept
-- Gives {outcome, seq, revision, rollout}.

local route, rollout, rollouts, ticks, events = unpack(KEYS)
local upstream, id, expected, doc, evidence, now, actor = unpack(ARGV, 1, 7)
local changes, prefix, kept = ARGV[8], ARGV[9], tonumber(ARGV[10])

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

-- What was counted for an earlier rollout is nobody's business any more.
redis.call('DEL', ticks)

local old = redis.call('ZRANGE', rollouts, 0, -kept - 1)
for _, name in ipairs(old) do
    redis.call('DEL', prefix .. name)
    redis.call('ZREM', rollouts, name)
end

redis.call('XADD', events, 'MAXLEN', '~', '1000', '*', 'at', now,
           'type', 'created', 'rollout', id, 'revision', revision,
           'actor', actor, 'detail', '')
redis.call('PUBLISH', changes, upstream .. ' ' .. revision)

return {'ok', '1', revision, id}
