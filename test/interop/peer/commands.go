package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

var nodes = struct {
	sync.Mutex
	m map[string]*node
}{m: map[string]*node{}}

func find(name string) (*node, error) {
	nodes.Lock()
	defer nodes.Unlock()
	n := nodes.m[name]
	if n == nil {
		return nil, fmt.Errorf("no node %q runs here", name)
	}
	return n, nil
}

// lookNow makes the watcher of a node look at the table. Never blocks: memberlist calls it with the table locked.
func lookNow(handle string) {
	if n, err := find(handle); err == nil {
		select {
		case n.look <- struct{}{}:
		default:
		}
	}
}

func forget(name string) {
	nodes.Lock()
	delete(nodes.m, name)
	nodes.Unlock()
}

// run carries out one command.
func run(c command) (any, error) {
	if c.Cmd == "start" {
		n, err := start(c.Node, c.Name, c.Bind, c.Port, c.Config)
		if err != nil {
			return nil, err
		}
		nodes.Lock()
		nodes.m[c.Node] = n
		nodes.Unlock()
		return show(n.list.LocalNode()), nil
	}
	if c.Cmd == "counters" {
		// Also for nodes that are gone.
		return counters.of(c.Node), nil
	}
	n, err := find(c.Node)
	if err != nil {
		return nil, err
	}
	switch c.Cmd {
	case "join":
		joined, err := n.list.Join(c.Addrs)
		if err != nil {
			return nil, err
		}
		return joined, nil
	case "members":
		list := []member{}
		for _, m := range n.list.Members() {
			list = append(list, show(m))
		}
		return list, nil
	case "table":
		return table(n.list), nil
	case "setMeta":
		meta, err := hex.DecodeString(c.Bytes)
		if err != nil {
			return nil, err
		}
		n.setMeta(meta)
		return nil, n.list.UpdateNode(time.Duration(c.Millis) * time.Millisecond)
	case "sendBestEffort", "sendReliable", "sendToAddress":
		return nil, n.send(c)
	case "queueBroadcast":
		payload, err := hex.DecodeString(c.Bytes)
		if err != nil {
			return nil, err
		}
		n.queue.QueueBroadcast(broadcast(payload))
		return nil, nil
	case "ping":
		address, err := net.ResolveUDPAddr("udp", c.Address)
		if err != nil {
			return nil, err
		}
		rtt, err := n.list.Ping(c.To, address)
		return rtt.Microseconds(), err
	case "leave":
		return nil, n.list.Leave(time.Duration(c.Millis) * time.Millisecond)
	case "shutdown", "kill":
		// memberlist's Shutdown says nothing to the others: without a leave before it, it is a crash.
		forget(c.Node)
		return nil, n.shutdown()
	case "addKey", "useKey", "removeKey":
		return nil, n.changeKey(c)
	case "keys":
		list := []string{}
		if n.keyring != nil {
			for _, key := range n.keyring.GetKeys() {
				list = append(list, hex.EncodeToString(key))
			}
		}
		return list, nil
	case "health":
		return n.list.GetHealthScore(), nil
	}
	return nil, fmt.Errorf("unknown command %q", c.Cmd)
}

func (n *node) send(c command) error {
	payload, err := hex.DecodeString(c.Bytes)
	if err != nil {
		return err
	}
	if c.Cmd == "sendToAddress" {
		return n.list.SendToAddress(memberlist.Address{Addr: c.Address, Name: c.To}, payload)
	}
	for _, m := range n.list.Members() {
		if m.Name == c.To {
			if c.Cmd == "sendReliable" {
				return n.list.SendReliable(m, payload)
			}
			return n.list.SendBestEffort(m, payload)
		}
	}
	return fmt.Errorf("no member %q", c.To)
}

func (n *node) changeKey(c command) error {
	if n.keyring == nil {
		return errors.New("the node has no keyring")
	}
	key, err := hex.DecodeString(c.Key)
	if err != nil {
		return err
	}
	switch c.Cmd {
	case "addKey":
		return n.keyring.AddKey(key)
	case "useKey":
		return n.keyring.UseKey(key)
	}
	return n.keyring.RemoveKey(key)
}
