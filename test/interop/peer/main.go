// A program that hosts real memberlist nodes for hearsay's interoperability tests. It takes commands as JSON lines on
// standard input and writes answers and events as JSON lines on standard output. Several nodes can live in one process.
//
// A command is {"id": 1, "cmd": "join", "node": "g1", ...}; its answer {"id": 1, "ok": true, "result": ...} or
// {"id": 1, "ok": false, "error": "..."}. Everything with an "event" field was not asked for. "node" is a handle within this
// program; the name in the cluster is given to "start", so that two nodes can claim one name. The program ends when its input
// does, without a leave: to the other members that is a crash.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"

	"github.com/hashicorp/go-metrics"
)

type command struct {
	ID      int             `json:"id"`
	Cmd     string          `json:"cmd"`
	Node    string          `json:"node"`
	Name    string          `json:"name"`
	Bind    string          `json:"bind"`
	Port    int             `json:"port"`
	Config  json.RawMessage `json:"config"`
	Addrs   []string        `json:"addrs"`
	To      string          `json:"to"`
	Bytes   string          `json:"bytes"`
	Key     string          `json:"key"`
	Millis  int             `json:"ms"`
	Address string          `json:"address"`
}

type answer struct {
	ID     int    `json:"id"`
	OK     bool   `json:"ok"`
	Error  string `json:"error,omitempty"`
	Result any    `json:"result,omitempty"`
}

var output = struct {
	sync.Mutex
	w *bufio.Writer
}{w: bufio.NewWriter(os.Stdout)}

// emit writes one line. If the reader is gone there is nobody left to serve.
func emit(v any) {
	line, err := json.Marshal(v)
	if err != nil {
		line = []byte(fmt.Sprintf(`{"event":"broken","error":%q}`, err.Error()))
	}
	output.Lock()
	defer output.Unlock()
	output.w.Write(line)
	output.w.WriteByte('\n')
	if output.w.Flush() != nil {
		os.Exit(0)
	}
}

func main() {
	metricsConfig := metrics.DefaultConfig("peer")
	metricsConfig.EnableHostname = false
	metricsConfig.EnableServiceLabel = false
	metricsConfig.EnableRuntimeMetrics = false
	metricsConfig.ServiceName = ""
	if _, err := metrics.NewGlobal(metricsConfig, counters); err != nil {
		fmt.Fprintln(os.Stderr, "peer: metrics:", err)
		os.Exit(1)
	}

	emit(map[string]any{"event": "ready", "memberlist": memberlistVersion(), "pid": os.Getpid()})
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(make([]byte, 64*1024), 16*1024*1024)
	for input.Scan() {
		var c command
		if err := json.Unmarshal(input.Bytes(), &c); err != nil {
			emit(answer{ID: 0, Error: "not a command: " + err.Error()})
			continue
		}
		// Join, leave and reliable sends block; the others must not wait behind them.
		go func() {
			result, err := run(c)
			if err != nil {
				emit(answer{ID: c.ID, Error: err.Error()})
				return
			}
			emit(answer{ID: c.ID, OK: true, Result: result})
		}()
	}
}
