-- KEYS[1] is the stream, ARGV[1] the group, ARGV[2] the consumer.
-- Releases all entries of the consumer and removes it.
while true do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 100, ARGV[2])
  if #p == 0 then break end
  for _, e in ipairs(p) do
    redis.call('XCLAIM', KEYS[1], ARGV[1], 'released', 0, e[1], 'IDLE', ARGV[3], 'JUSTID')
  end
  local q = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 100, ARGV[2])
  if #q > 0 and q[1][1] == p[1][1] then return end
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
