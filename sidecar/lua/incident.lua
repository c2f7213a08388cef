-- Every change of an incident.
-- KEYS: incidents (id: document), their times, the open ones (key: id),
--       events
-- ARGV: mode, id, key, document as it was read ("": a new one), new document,
--       "1" if it is closed by that, now, how many are kept, event type,
--       rollout, actor, detail, data
-- Mode "open" gives {"there", document} if one of that key is open already.
-- Mode "change" gives {"changed", document} if somebody was faster.
-- Otherwise {"ok", document}.

local docs, times, open, events = unpack(KEYS)
local mode, id, key, was, doc, closed, now = unpack(ARGV, 1, 7)
local kept, kind, rollout, actor, detail, data = unpack(ARGV, 8, 13)

if mode == 'open' then
    local other = redis.call('HGET', open, key)
    local there = other and redis.call('HGET', docs, other)
    if there then
        return {'there', there}
    end
    redis.call('HSET', open, key, id)
    redis.call('ZADD', times, now, id)

    for _, old in ipairs(redis.call('ZRANGE', times, 0, -tonumber(kept) - 1))
    do
        -- Nobody has resolved it, and nobody will.
        local ok, gone = pcall(cjson.decode, redis.call('HGET', docs, old))
        if ok and type(gone) == 'table' and type(gone.key) == 'string'
           and redis.call('HGET', open, gone.key) == old
        then
            redis.call('HDEL', open, gone.key)
        end
        redis.call('HDEL', docs, old)
        redis.call('ZREM', times, old)
    end
else
    local present = redis.call('HGET', docs, id) or ''
    if present ~= was then
        return {'changed', present}
    end
    if closed == '1' and redis.call('HGET', open, key) == id then
        redis.call('HDEL', open, key)
    end
end

redis.call('HSET', docs, id, doc)
redis.call('XADD', events, '*', 'at', now, 'type', kind, 'rollout', rollout,
           'revision', '0', 'actor', actor, 'detail', detail, 'data', data)

return {'ok', doc}
