// The operations of bench/versus.ts done by memberlist's own code. This file is built as part of a copy of package memberlist
// (bench/drivers/memberlist.ts makes it), because the functions that do the work are not exported.
//
// Protocol: the runner writes "round <ms>" or "view" to stdin and reads one line of JSON.
package memberlist

import (
	"bufio"
	"bytes"
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// One case: before() is not timed, run() does `operations` times what the case is named after.
type benchCase struct {
	operations int
	before     func()
	run        func()
	view       func() string
}

// BenchMain serves one case until stdin ends. Arguments: case, directory of the inputs.
func BenchMain(args []string) {
	c := newBenchCase(args[0], args[1])
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var answer any
		if command, argument, _ := strings.Cut(in.Text(), " "); command == "round" {
			ms, err := strconv.ParseFloat(argument, 64)
			check(err)
			answer = c.round(time.Duration(ms * float64(time.Millisecond)))
		} else {
			answer = c.view()
		}
		line, err := json.Marshal(answer)
		check(err)
		fmt.Println(string(line))
	}
}

// round measures for about `budget` and answers the nanoseconds per operation of each run.
func (c *benchCase) round(budget time.Duration) []float64 {
	samples := []float64{}
	for spent := time.Duration(0); len(samples) == 0 || spent < budget; {
		if c.before != nil {
			c.before()
		}
		start := time.Now()
		c.run()
		took := time.Since(start)
		spent += took
		samples = append(samples, float64(took.Nanoseconds())/float64(c.operations))
	}
	return samples
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func newBenchCase(name, dir string) *benchCase {
	read := func(file string) []byte {
		content, err := os.ReadFile(filepath.Join(dir, file))
		check(err)
		return content
	}
	// It always encodes and queues its news.
	switch name = strings.TrimSuffix(name, "-queued"); name {
	case "merge-unchanged":
		body := read("push-pull.bin")
		m := benchList(body)
		return &benchCase{1, nil, func() { m.benchMergeBody(body) }, m.benchMembers}
	case "merge-empty":
		body := read("push-pull.bin")
		m := benchList(nil)
		before := func() { m = benchList(nil) }
		return &benchCase{1, before, func() { m.benchMergeBody(body) }, func() string { return m.benchMembers() }}
	case "packets-news", "packets-old":
		return benchPackets(name == "packets-news", read("push-pull.bin"), read("packets-0.bin"), read("packets-1.bin"))
	case "encode-state":
		m := benchList(read("push-pull.bin"))
		sink := &benchConn{}
		run := func() { check(m.sendLocalState(sink, false, "")) }
		return &benchCase{1, nil, run, func() string { return benchBodyView(sink.last) }}
	case "queue-fill", "queue-enqueue":
		return benchQueue(name == "queue-fill", benchParts(read("messages.bin")))
	}
	check(fmt.Errorf("no case %q", name))
	return nil
}

// benchList is what newMemberlist makes, without sockets and without goroutines, and with the nodes of a push/pull body.
func benchList(body []byte) *Memberlist {
	conf := DefaultLANConfig()
	conf.Name = "bench-self"
	conf.EnableCompression = false
	// So that nothing leaves the queue and no suspicion ends while we measure.
	conf.RetransmitMult = 1 << 24
	conf.ProbeInterval = time.Hour
	network := &MockNetwork{}
	m := &Memberlist{
		config:               conf,
		shutdownCh:           make(chan struct{}),
		leaveBroadcast:       make(chan struct{}, 1),
		transport:            network.NewTransport(conf.Name),
		handoffCh:            make(chan struct{}, 1),
		highPriorityMsgQueue: list.New(),
		lowPriorityMsgQueue:  list.New(),
		nodeMap:              make(map[string]*nodeState),
		nodeTimers:           make(map[string]*suspicion),
		awareness:            newAwareness(conf.AwarenessMaxMultiplier, nil),
		ackHandlers:          make(map[uint32]*ackHandler),
		broadcasts:           &TransmitLimitedQueue{RetransmitMult: conf.RetransmitMult},
		logger:               log.New(io.Discard, "", 0),
	}
	m.broadcasts.NumNodes = func() int { return m.estNumNodes() }
	self := alive{Incarnation: 1, Node: conf.Name, Addr: []byte{127, 0, 0, 1}, Port: 7946, Vsn: conf.BuildVsnArray()}
	m.aliveNode(&self, nil, true)
	if body != nil {
		m.benchMergeBody(body)
		m.broadcasts.Reset()
	}
	return m
}

// benchMergeBody does what handleConn does with a push/pull that was compressed: those come from a bytes.Reader.
func (m *Memberlist) benchMergeBody(body []byte) {
	reader := bytes.NewReader(body)
	hd := codec.MsgpackHandle{}
	_, nodes, _, err := m.readRemoteState(reader, codec.NewDecoder(reader, &hd))
	check(err)
	m.mergeState(nodes)
}

// benchReceive does what packetListen and packetHandler do with a packet, in one goroutine.
func (m *Memberlist) benchReceive(packet []byte, from net.Addr) {
	m.handleCommand(packet, from, time.Time{})
	for {
		msg, ok := m.getNextMessage()
		if !ok {
			return
		}
		switch msg.msgType {
		case suspectMsg:
			m.handleSuspect(msg.buf, msg.from)
		case aliveMsg:
			m.handleAlive(msg.buf, msg.from)
		}
	}
}

func benchPackets(news bool, body, even, odd []byte) *benchCase {
	const records = 10
	m := benchList(body)
	from := &net.UDPAddr{IP: net.IP{127, 0, 0, 1}, Port: 7946}
	sets := [][][]byte{benchParts(even), benchParts(odd)}
	generation := -1
	before := func() {
		if news || generation < 0 {
			generation++
			for _, packet := range sets[generation&1] {
				benchStamp(packet, uint32(generation))
			}
		}
		m.broadcasts.Reset()
		// memberlist forgets the timer of a suspicion that was refuted but lets it run; here they would only pile up.
		for _, timer := range m.nodeTimers {
			timer.timer.Stop()
		}
	}
	run := func() {
		for _, packet := range sets[generation&1] {
			m.benchReceive(packet, from)
		}
	}
	return &benchCase{len(sets[0]) * records, before, run, m.benchMembers}
}

// benchStamp makes all messages of a packet news of this generation: an alive raises the incarnation, a suspect names the known one.
func benchStamp(packet []byte, generation uint32) {
	key := []byte("Incarnation\xce")
	parts := int(packet[1])
	at := 2 + 2*parts
	for i := 0; i < parts; i++ {
		end := at + int(binary.BigEndian.Uint16(packet[2+2*i:]))
		field := at + bytes.Index(packet[at:end], key) + len(key)
		incarnation := generation + 65
		if messageType(packet[at]) == aliveMsg {
			incarnation++
		}
		binary.BigEndian.PutUint32(packet[field:], incarnation)
		at = end
	}
}

func benchQueue(fill bool, messages [][]byte) *benchCase {
	const operations, batch, limit = 10, 10, 1400
	m := benchList(nil)
	m.broadcasts.Reset()
	next := 0
	enqueue := func() {
		for i := 0; i < batch; i++ {
			m.queueBroadcast("node-"+strconv.Itoa(next), messages[next], nil)
			next = (next + 1) % len(messages)
		}
	}
	for i := 0; i < len(messages)/batch; i++ {
		enqueue()
	}
	bytesOut, partsOut := 0, 0
	pack := func() {
		messages := m.getBroadcasts(compoundOverhead, limit-compoundHeaderOverhead)
		for _, packet := range makeCompoundMessages(messages) {
			bytesOut += packet.Len()
			partsOut += len(messages)
		}
	}
	work := enqueue
	if fill {
		work = pack
	}
	run := func() {
		for i := 0; i < operations; i++ {
			work()
		}
	}
	view := func() string {
		bytesOut, partsOut = 0, 0
		for i := 0; i < 100; i++ {
			pack()
		}
		return fmt.Sprintf("100 packets: %d bytes, %d messages", bytesOut, partsOut)
	}
	return &benchCase{operations, nil, run, view}
}

// benchMembers is what the table holds, ourselves aside, the same text for every implementation.
func (m *Memberlist) benchMembers() string {
	states := make([]pushNodeState, 0, len(m.nodes))
	for _, n := range m.nodes {
		vsn := []uint8{n.PMin, n.PMax, n.PCur, n.DMin, n.DMax, n.DCur}
		states = append(states, pushNodeState{n.Name, n.Addr, n.Port, n.Meta, n.Incarnation, n.State, vsn})
	}
	return benchView(states)
}

func benchBodyView(message []byte) string {
	m := benchList(nil)
	reader := bytes.NewReader(message[1:])
	hd := codec.MsgpackHandle{}
	_, nodes, _, err := m.readRemoteState(reader, codec.NewDecoder(reader, &hd))
	check(err)
	return benchView(nodes)
}

func benchView(states []pushNodeState) string {
	lines := []string{}
	for _, s := range states {
		if s.Name == "bench-self" {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %x %d %x %d %d %x\n", s.Name, s.Addr, s.Port, s.Meta, s.Incarnation, s.State, s.Vsn))
	}
	sort.Strings(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return fmt.Sprintf("%d members %s", len(lines), hex.EncodeToString(sum[:8]))
}

// benchParts splits a file of messages, each after its length as u32 little-endian.
func benchParts(content []byte) [][]byte {
	parts := [][]byte{}
	for len(content) > 0 {
		length := binary.LittleEndian.Uint32(content)
		parts = append(parts, content[4:4+length])
		content = content[4+length:]
	}
	return parts
}

// benchConn keeps the last write.
type benchConn struct {
	net.Conn
	last []byte
}

func (c *benchConn) Write(b []byte) (int, error) {
	c.last = b
	return len(b), nil
}

func (c *benchConn) SetDeadline(time.Time) error { return nil }
