-- KEYS[1] is the stream, ARGV[1] the group, ARGV[2] the consumer.
-- Lets everybody claim the entries ARGV[4...] that are still the
-- consumer's. ARGV[3] is how long they shall have been idle, in ms.
for i = 4, #ARGV do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if #p == 1 and p[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], 'released', 0, ARGV[i], 'IDLE', ARGV[3], 'JUSTID')
  end
end
