package redisbroker

import (
	"context"
	_ "embed" // the scripts
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

// persist repeats a command that may be repeated, as long as the server is away. All
// commands that want a connection at the same time share one attempt to get it, which
// ends with the context of whichever came first: a dial that was cancelled is not the
// end of this caller's time.
func (s *session) persist(ctx context.Context, command func() error) error {
	for attempt := 0; ; attempt++ {
		if err := s.link.await(ctx); err != nil {
			return err
		}
		err := command()
		s.link.doubt(err)
		answer, answered := rueidis.IsRedisErr(err)
		if err == nil || ctx.Err() != nil || answered && !isNotNow(answer) || !answered && !unreachable(err) && !unsent(err) {
			return err
		}
		if ended := s.link.pause(ctx, min(highestWait, lowestWait<<min(attempt, 10))); ended != nil {
			return err
		}
	}
}

// What one command cannot do at once. Each file says what it wants.
var (
	//go:embed extend.lua
	extendText string
	//go:embed release.lua
	releaseText string
	//go:embed leave.lua
	leaveText string
	//go:embed remove.lua
	removeText string
	//go:embed tidy.lua
	tidyText string

	extendScript  = rueidis.NewLuaScript(extendText)
	releaseScript = rueidis.NewLuaScript(releaseText)
	leaveScript   = rueidis.NewLuaScript(leaveText)
	removeScript  = rueidis.NewLuaScript(removeText)
	tidyScript    = rueidis.NewLuaScript(tidyText)
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
