-- KEYS[1] is the stream, ARGV[1] the group, ARGV[2] the consumer.
-- Restarts the ack clock of the entries ARGV[3...] that are still the
-- consumer's, and returns those that are not.
local lost = {}
for i = 3, #ARGV do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if #p == 1 and p[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost
