-- Redis lost something: it is empty, or older than what a node serves.
-- KEYS: route, events, nodes
-- ARGV: upstream, mode, revision, record, revert revision, revert ("": none),
--       now, how long ago a live node was seen, changes channel,
--       prefix of rollout keys, node, how many events are kept
-- Mode "adopt": the node's record is written back, or, if the rollout that it
-- belongs to is not known here, stable under a new revision.
-- Mode "again": the record under `revision` differs from the node's; what is
-- here goes out once more as `revert`, under the revision after it.
-- Gives {outcome, seq, revision, rollout}.

local route, events, nodes = unpack(KEYS)
local upstream, mode, revision, record, after, revert = unpack(ARGV, 1, 6)
local now, live, changes, prefix, node, kept = unpack(ARGV, 7, 12)

local present = redis.call('HGET', route, 'revision') or '0'
local id = redis.call('HGET', route, 'rollout') or ''

if mode == 'again' then
    if present ~= revision then
        return {'revision', '0', present, id}
    end

elseif tonumber(revision) <= tonumber(present) then
    return {'revision', '0', present, id}
end

-- The highest revision that any live node serves wins.
for _, info in ipairs(redis.call('HVALS', nodes)) do
    local ok, other = pcall(cjson.decode, info)
    if ok and type(other) == 'table'
       and type(other.at) == 'number' and type(other.revision) == 'number'
       and other.at >= tonumber(now) - tonumber(live)
       and other.revision > tonumber(revision)
    then
        return {'node', '0', present, id}
    end
end

local known = redis.call('HGET', route, 'active') == '1'
              and redis.call('EXISTS', prefix .. id) == 1
local what = 'adopted'

if mode == 'again' or (revert ~= '' and not known) then
    revision, record = after, revert
    what = mode == 'again' and 'republished' or 'reverted'
end

redis.call('HSET', route, 'revision', revision, 'record', record)

-- A rollout that is marked active and has no state is none.
if not known then
    redis.call('HSET', route, 'active', '0')
end

local data = string.format('{"revision":{"redis":%s,"node":%s,"after":%s}}',
                           present, ARGV[3], revision)

redis.call('XADD', events, 'MAXLEN', '~', kept, '*', 'at', now,
           'type', what, 'rollout', id, 'revision', revision,
           'actor', node, 'detail', 'Redis had revision ' .. present,
           'data', data)
redis.call('PUBLISH', changes, upstream .. ' ' .. revision)

return {'ok', '0', revision, id}
