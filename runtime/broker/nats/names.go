package natsbroker

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// maxNameBytes leaves room to the 255 bytes that the server allows: a name is
// part of file names.
const maxNameBytes = 200

// streamName is the name of the stream that is created for a topic.
func streamName(topic string) string { return shorten("micro~" + undotted(topic)) }

// durableName is the name of the consumer of a queue. The topic is part of it:
// one stream may take several topics.
func durableName(topic, queue string) string {
	return shorten(undotted(queue) + "@" + undotted(topic))
}

// undotted replaces the only character of topics that names may not have by one
// that topics do not have.
func undotted(topic string) string { return strings.ReplaceAll(topic, ".", "~") }

func shorten(name string) string {
	if len(name) <= maxNameBytes {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	hash := hex.EncodeToString(sum[:16])
	return name[:maxNameBytes-len(hash)-1] + "~" + hash
}
