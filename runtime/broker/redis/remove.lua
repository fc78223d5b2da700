-- KEYS[1] is the stream, ARGV[1] the group, ARGV[2] the consumer.
-- Removes a group without a queue.
redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[1] .. ':' .. ARGV[1])
