-- KEYS[1] is the stream, ARGV[1] the group, ARGV[2] the consumer.
-- Removes groups whose subscriptions are gone, consumers that have
-- nothing and were silent for ARGV[3] ms, and the entries that all groups have
-- handled; a stream without a group altogether.
if redis.call('EXISTS', KEYS[1]) == 0 then return end
local function fields(list)
  local t = {}
  for i = 1, #list, 2 do t[list[i]] = list[i + 1] end
  return t
end
local function before(a, b)
  local am, as = string.match(a, '(%d+)-(%d+)')
  local bm, bs = string.match(b, '(%d+)-(%d+)')
  if am ~= bm then return tonumber(am) < tonumber(bm) end
  return tonumber(as) < tonumber(bs)
end
local left, least = 0, nil
for _, list in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local g = fields(list)
  if string.sub(g.name, 1, 4) == 'own:' and redis.call('EXISTS', KEYS[1] .. ':' .. g.name) == 0 then
    redis.call('XGROUP', 'DESTROY', KEYS[1], g.name)
  else
    left = left + 1
    local id = g['last-delivered-id']
    if g.pending > 0 then id = redis.call('XPENDING', KEYS[1], g.name)[2] end
    if not least or before(id, least) then least = id end
  end
end
if left == 0 then
  redis.call('DEL', KEYS[1])
  return
end
redis.call('XTRIM', KEYS[1], 'MINID', '~', least)
if ARGV[1] == '' then return end
for _, list in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local c = fields(list)
  if c.name ~= ARGV[2] and c.name ~= 'released' and c.pending == 0 and c.idle > tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], c.name)
  end
end
