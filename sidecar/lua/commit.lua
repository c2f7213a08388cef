-- The one way in which a rollout and its upstream's record change.
-- KEYS: route, rollout, events, leader
-- ARGV: upstream, id, seq, leader ("": anyone), doc, evidence ("": stays),
--       revision ("0": no new record), record, active, now, actor,
--       changes channel, then pairs of event type and detail
-- Gives {outcome, seq, revision, rollout}.

local route, rollout, events, leader = unpack(KEYS)
local upstream, id, expected, token, doc, evidence = unpack(ARGV, 1, 6)
local revision, record, active, now, actor, changes = unpack(ARGV, 7, 12)

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

for i = 13, #ARGV - 1, 2 do
    redis.call('XADD', events, 'MAXLEN', '~', '1000', '*', 'at', now,
               'type', ARGV[i], 'rollout', id, 'revision', present,
               'actor', actor, 'detail', ARGV[i + 1])
end

if revision ~= '0' or active ~= was or #ARGV > 12 then
    redis.call('PUBLISH', changes, upstream .. ' ' .. present)
end

return {'ok', seq, present, latest}
