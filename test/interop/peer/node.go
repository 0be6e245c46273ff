package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"sync"
	"time"

	"github.com/hashicorp/go-metrics"
	"github.com/hashicorp/memberlist"
)

// settings are the parts of memberlist's configuration that the tests vary. Absent fields keep the profile's value.
type settings struct {
	Profile            string   `json:"profile"`
	Keys               []string `json:"keys"`
	Label              string   `json:"label"`
	Compression        *bool    `json:"compression"`
	ProtocolVersion    *uint8   `json:"protocolVersion"`
	DelegateMin        uint8    `json:"delegateMin"`
	DelegateMax        uint8    `json:"delegateMax"`
	DelegateCur        uint8    `json:"delegateCur"`
	Meta               string   `json:"meta"`
	State              string   `json:"state"`
	ProbeIntervalMs    *int     `json:"probeIntervalMs"`
	ProbeTimeoutMs     *int     `json:"probeTimeoutMs"`
	GossipIntervalMs   *int     `json:"gossipIntervalMs"`
	PushPullIntervalMs *int     `json:"pushPullIntervalMs"`
	TCPTimeoutMs       *int     `json:"tcpTimeoutMs"`
	GossipToTheDeadMs  *int     `json:"gossipToTheDeadMs"`
	SuspicionMult      *int     `json:"suspicionMult"`
	AdvertisePort      int      `json:"advertisePort"`
	VerifyIncoming     *bool    `json:"verifyIncoming"`
	VerifyOutgoing     *bool    `json:"verifyOutgoing"`
	WatchMs            int      `json:"watchMs"`
}

type node struct {
	handle  string
	list    *memberlist.Memberlist
	keyring *memberlist.Keyring
	queue   *memberlist.TransmitLimitedQueue
	state   []byte
	stop    chan struct{}
	look    chan struct{}
	once    sync.Once

	mu   sync.Mutex
	meta []byte
}

// member is how a member is shown to the tests.
type member struct {
	Name  string `json:"name"`
	Host  string `json:"host"`
	Port  int    `json:"port"`
	Meta  string `json:"meta"`
	State string `json:"state"`
	Vsn   []int  `json:"vsn"`
}

var stateNames = map[memberlist.NodeStateType]string{
	memberlist.StateAlive: "alive", memberlist.StateSuspect: "suspect", memberlist.StateDead: "dead", memberlist.StateLeft: "left",
}

func show(n *memberlist.Node) member {
	return member{
		Name: n.Name, Host: n.Addr.String(), Port: int(n.Port), Meta: hex.EncodeToString(n.Meta), State: stateNames[n.State],
		Vsn: []int{int(n.PMin), int(n.PMax), int(n.PCur), int(n.DMin), int(n.DMax), int(n.DCur)},
	}
}

func millis(target *time.Duration, value *int) {
	if value != nil {
		*target = time.Duration(*value) * time.Millisecond
	}
}

func configure(s settings) (*memberlist.Config, *memberlist.Keyring, error) {
	var c *memberlist.Config
	switch s.Profile {
	case "lan":
		c = memberlist.DefaultLANConfig()
	case "wan":
		c = memberlist.DefaultWANConfig()
	case "local", "":
		c = memberlist.DefaultLocalConfig()
	default:
		return nil, nil, fmt.Errorf("unknown profile %q", s.Profile)
	}
	c.Label = s.Label
	if s.Compression != nil {
		c.EnableCompression = *s.Compression
	}
	if s.ProtocolVersion != nil {
		c.ProtocolVersion = *s.ProtocolVersion
	}
	if s.VerifyIncoming != nil {
		c.GossipVerifyIncoming = *s.VerifyIncoming
	}
	if s.VerifyOutgoing != nil {
		c.GossipVerifyOutgoing = *s.VerifyOutgoing
	}
	if s.SuspicionMult != nil {
		c.SuspicionMult = *s.SuspicionMult
	}
	c.DelegateProtocolMin, c.DelegateProtocolMax, c.DelegateProtocolVersion = s.DelegateMin, s.DelegateMax, s.DelegateCur
	millis(&c.ProbeInterval, s.ProbeIntervalMs)
	millis(&c.ProbeTimeout, s.ProbeTimeoutMs)
	millis(&c.GossipInterval, s.GossipIntervalMs)
	millis(&c.PushPullInterval, s.PushPullIntervalMs)
	millis(&c.TCPTimeout, s.TCPTimeoutMs)
	millis(&c.GossipToTheDeadTime, s.GossipToTheDeadMs)
	if len(s.Keys) == 0 {
		return c, nil, nil
	}
	keys := make([][]byte, len(s.Keys))
	for i, text := range s.Keys {
		key, err := hex.DecodeString(text)
		if err != nil {
			return nil, nil, err
		}
		keys[i] = key
	}
	keyring, err := memberlist.NewKeyring(keys, keys[0])
	c.Keyring = keyring
	return c, keyring, err
}

func start(handle, name, bind string, port int, raw json.RawMessage) (*node, error) {
	var s settings
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, err
		}
	}
	c, keyring, err := configure(s)
	if err != nil {
		return nil, err
	}
	meta, err := hex.DecodeString(s.Meta)
	if err != nil {
		return nil, err
	}
	state, err := hex.DecodeString(s.State)
	if err != nil {
		return nil, err
	}
	n := &node{handle: handle, keyring: keyring, meta: meta, state: state, stop: make(chan struct{}), look: make(chan struct{}, 1)}
	n.queue = &memberlist.TransmitLimitedQueue{RetransmitMult: c.RetransmitMult, NumNodes: func() int {
		if list := n.memberlist(); list != nil {
			return list.NumMembers()
		}
		return 1
	}}
	c.Name, c.BindAddr, c.BindPort, c.AdvertisePort = name, bind, port, port
	if s.AdvertisePort != 0 {
		c.AdvertiseAddr, c.AdvertisePort = bind, s.AdvertisePort
	}
	c.Delegate, c.Events, c.Conflict = n, n, n
	c.MetricLabels = []metrics.Label{{Name: "node", Value: handle}}
	c.Logger = log.New(io.Writer(logSink{node: handle}), "", 0)
	list, err := memberlist.Create(c)
	if err != nil {
		return nil, err
	}
	checkTable(list)
	n.mu.Lock()
	n.list = list
	n.mu.Unlock()
	if s.WatchMs > 0 {
		go n.watch(time.Duration(s.WatchMs) * time.Millisecond)
	}
	return n, nil
}

// watch reports a member going from alive to suspect and back, which memberlist itself tells nobody. It looks regularly, and at once
// when memberlist counts a suspicion (lookNow), so that a quick refutation does not hide it.
func (n *node) watch(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last := map[string]string{}
	for {
		select {
		case <-n.stop:
			return
		case <-ticker.C:
		case <-n.look:
		}
		seen := map[string]string{}
		for _, e := range table(n.list) {
			seen[e.Name] = e.State
			before, known := last[e.Name]
			if !known {
				before = "alive"
			}
			if before != e.State {
				emit(map[string]any{"event": "state", "node": n.handle, "name": e.Name, "from": before, "state": e.State})
			}
		}
		last = seen
	}
}

// memberlist is nil while the node starts: its delegates are called before Create returns.
func (n *node) memberlist() *memberlist.Memberlist {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.list
}

func (n *node) shutdown() error {
	n.once.Do(func() { close(n.stop) })
	return n.list.Shutdown()
}

// The delegates.

func (n *node) NodeMeta(int) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.meta
}

func (n *node) setMeta(meta []byte) {
	n.mu.Lock()
	n.meta = meta
	n.mu.Unlock()
}

func (n *node) NotifyMsg(b []byte) {
	emit(map[string]any{"event": "message", "node": n.handle, "bytes": hex.EncodeToString(b)})
}

func (n *node) GetBroadcasts(overhead, limit int) [][]byte {
	return n.queue.GetBroadcasts(overhead, limit)
}

func (n *node) LocalState(bool) []byte { return n.state }

func (n *node) MergeRemoteState(b []byte, join bool) {
	emit(map[string]any{"event": "userState", "node": n.handle, "bytes": hex.EncodeToString(b), "join": join})
}

func (n *node) notify(kind string, m *memberlist.Node) {
	emit(map[string]any{"event": kind, "node": n.handle, "member": show(m)})
}

func (n *node) NotifyJoin(m *memberlist.Node) { n.notify("join", m) }
func (n *node) NotifyLeave(m *memberlist.Node) {
	shown := show(m)
	if list := n.memberlist(); list != nil {
		shown.State = stateWithin(list, m.Name)
	}
	emit(map[string]any{"event": "leave", "node": n.handle, "member": shown})
}

func (n *node) NotifyUpdate(m *memberlist.Node) { n.notify("update", m) }

func (n *node) NotifyConflict(existing, other *memberlist.Node) {
	emit(map[string]any{"event": "conflict", "node": n.handle, "member": show(existing), "other": show(other)})
}

// broadcast is a user broadcast; it never displaces another.
type broadcast []byte

func (broadcast) Invalidates(memberlist.Broadcast) bool { return false }
func (b broadcast) Message() []byte                     { return b }
func (broadcast) Finished()                             {}
func (broadcast) UniqueBroadcast()                      {}
