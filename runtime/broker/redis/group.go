package redisbroker

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// Names of groups, and of what is not a member.
const (
	queuePrefix = "queue:"
	ownPrefix   = "own:"

	// released is the consumer that has what was given back, so long ago that
	// everybody may claim it.
	released   = "released"
	releasedMs = 24 * 60 * 60 * 1000
)

// aliveKey is the key that lives as long as the group of a subscription without a
// queue.
func aliveKey(stream, group string) string { return stream + ":" + group }

// Declare implements [broker.Driver].
func (d *driver) Declare(ctx context.Context, topic, queue string) error {
	return d.createGroup(ctx, streamOf(topic), queuePrefix+queue, "$")
}

// createGroup makes a group that begins at an id, and its stream, if need be.
func (s *session) createGroup(ctx context.Context, stream, group, from string) error {
	return s.persist(ctx, func() error {
		err := s.client.Do(ctx, s.client.B().XgroupCreate().Key(stream).Group(group).Id(from).Mkstream().Build()).Error()
		if answer, ok := rueidis.IsRedisErr(err); ok && answer.IsBusyGroup() {
			return nil
		}
		return err
	})
}

// persist repeats a command that may be repeated, as long as the server is away.
func (s *session) persist(ctx context.Context, command func() error) error {
	for attempt := 0; ; attempt++ {
		if err := s.link.await(ctx); err != nil {
			return err
		}
		err := command()
		s.link.doubt(err)
		answer, answered := rueidis.IsRedisErr(err)
		if err == nil || ctx.Err() != nil || answered && !isNotNow(answer) || !answered && !unreachable(err) {
			return err
		}
		if ended := s.link.pause(ctx, min(highestWait, lowestWait<<min(attempt, 10))); ended != nil {
			return err
		}
	}
}

// Scripts. KEYS[1] is the stream, ARGV[1] the group and ARGV[2] the consumer.
var (
	// extendScript restarts the ack clock of the entries ARGV[3...] that are still the
	// consumer's, and returns those that are not.
	extendScript = rueidis.NewLuaScript(`
local lost = {}
for i = 3, #ARGV do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if #p == 1 and p[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
  else
    lost[#lost + 1] = ARGV[i]
  end
end
return lost`)

	// releaseScript lets everybody claim the entries ARGV[4...] that are still the
	// consumer's. ARGV[3] is how long they shall have been idle, in ms.
	releaseScript = rueidis.NewLuaScript(`
for i = 4, #ARGV do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1)
  if #p == 1 and p[1][2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], 'released', 0, ARGV[i], 'IDLE', ARGV[3], 'JUSTID')
  end
end`)

	// leaveScript releases all entries of the consumer and removes it.
	leaveScript = rueidis.NewLuaScript(`
while true do
  local p = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 100, ARGV[2])
  if #p == 0 then break end
  for _, e in ipairs(p) do
    redis.call('XCLAIM', KEYS[1], ARGV[1], 'released', 0, e[1], 'IDLE', ARGV[3], 'JUSTID')
  end
  local q = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 100, ARGV[2])
  if #q > 0 and q[1][1] == p[1][1] then return end
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])`)

	// removeScript removes a group without a queue.
	removeScript = rueidis.NewLuaScript(`
redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[1] .. ':' .. ARGV[1])`)

	// tidyScript removes groups whose subscriptions are gone, consumers that have
	// nothing and were silent for ARGV[3] ms, and the entries that all groups have
	// handled; a stream without a group altogether.
	tidyScript = rueidis.NewLuaScript(`
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
end`)
)

// run runs a script for the group of a source.
func (s *source) run(ctx context.Context, script *rueidis.Lua, more ...string) rueidis.RedisResult {
	args := append([]string{s.group, s.consumer}, more...)
	result := script.Exec(ctx, s.client, []string{s.stream}, args)
	s.link.doubt(result.Error())
	return result
}

// scriptError is the error of a script, for which an empty answer is none.
func scriptError(result rueidis.RedisResult) error {
	if err := result.Error(); err != nil && !rueidis.IsRedisNil(err) {
		return err
	}
	return nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
