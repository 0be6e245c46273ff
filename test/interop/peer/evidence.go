package main

import (
	"bytes"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/hashicorp/go-metrics"
)

// memberlistVersion says which release this binary was built with.
func memberlistVersion() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, dep := range info.Deps {
			if dep.Path == "github.com/hashicorp/memberlist" {
				return dep.Version
			}
		}
	}
	return "unknown"
}

// counterSink sums memberlist's own counters per node (the label "node"), such as msg.suspect: how often this node moved a
// member to suspect. memberlist raises no event for that.
type counterSink struct {
	metrics.BlackholeSink
	sync.Mutex
	perNode map[string]map[string]float64
}

var counters = &counterSink{perNode: map[string]map[string]float64{}}

func (s *counterSink) IncrCounterWithLabels(key []string, value float32, labels []metrics.Label) {
	for _, label := range labels {
		if label.Name == "node" {
			name := strings.TrimPrefix(strings.Join(key, "."), "memberlist.")
			s.add(label.Value, name, float64(value))
			if name == "msg.suspect" {
				lookNow(label.Value)
			}
			return
		}
	}
}

func (s *counterSink) add(node, name string, value float64) {
	s.Lock()
	defer s.Unlock()
	m := s.perNode[node]
	if m == nil {
		m = map[string]float64{}
		s.perNode[node] = m
	}
	m[name] += value
}

func (s *counterSink) of(node string) map[string]float64 {
	s.Lock()
	defer s.Unlock()
	copied := map[string]float64{}
	for name, value := range s.perNode[node] {
		copied[name] = value
	}
	return copied
}

// logSink receives memberlist's log of one node, line by line: counts warnings and errors by kind and passes on what tells
// about suspicion.
type logSink struct {
	node string
}

func (s logSink) Write(p []byte) (int, error) {
	for _, raw := range bytes.Split(bytes.TrimRight(p, "\n"), []byte{'\n'}) {
		line := string(raw)
		level := ""
		if open := strings.IndexByte(line, '['); open >= 0 {
			if end := strings.IndexByte(line[open:], ']'); end > 0 {
				level = line[open+1 : open+end]
				line = strings.TrimSpace(line[open+end+1:])
			}
		}
		line = strings.TrimPrefix(line, "memberlist: ")
		switch {
		case level == "WARN" || level == "ERR":
			counters.add(s.node, "log."+level+": "+kind(line), 1)
			emit(map[string]any{"event": "log", "node": s.node, "level": level, "text": line})
		case strings.HasPrefix(line, "Suspect ") || strings.HasPrefix(line, "Marking "):
			counters.add(s.node, "log."+kind(line), 1)
			emit(map[string]any{"event": "log", "node": s.node, "level": level, "text": line})
		}
		if strings.HasPrefix(line, "Refuting ") {
			counters.add(s.node, "refuted", 1)
			emit(map[string]any{"event": "refuted", "node": s.node, "text": line})
		}
	}
	return len(p), nil
}

// kind is a log line without what varies: it ends before the first name, number or address.
func kind(line string) string {
	if strings.HasPrefix(line, "Suspect ") {
		return "Suspect"
	}
	if strings.HasPrefix(line, "Marking ") {
		return "Marking"
	}
	if end := strings.IndexAny(line, ":('\"0123456789"); end > 0 {
		line = line[:end]
	}
	return strings.TrimSpace(line)
}
