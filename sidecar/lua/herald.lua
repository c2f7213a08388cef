-- Events of an upstream for whoever tells people: each goes to one canaryd,
-- and to another one if that did not say in time that it is done.
-- KEYS: events
-- ARGV: node, how many, ms after which another one takes over
-- Gives id, at, type, rollout, revision, actor, detail, data of each.

local events = KEYS[1]
local node, many, idle = unpack(ARGV)
local group = 'herald'

-- What happened before anybody listened is not news.
redis.pcall('XGROUP', 'CREATE', events, group, '$', 'MKSTREAM')

local out = {}

local function give(entries)
    for _, entry in ipairs(entries) do
        local fields = {}
        if entry[2] then
            for i = 1, #entry[2], 2 do
                fields[entry[2][i]] = entry[2][i + 1]
            end
        end
        table.insert(out, entry[1])
        for _, name in ipairs({'at', 'type', 'rollout', 'revision', 'actor',
                               'detail', 'data'})
        do
            table.insert(out, fields[name] or '')
        end
    end
end

local late = redis.call('XAUTOCLAIM', events, group, node, idle, '0-0',
                        'COUNT', many)
give(late[2])

local fresh = redis.call('XREADGROUP', 'GROUP', group, node, 'COUNT', many,
                         'STREAMS', events, '>')
if fresh and fresh[1] then
    give(fresh[1][2])
end

return out
