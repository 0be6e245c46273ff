// Members of hashicorp/memberlist in one process, each with an address of its own in 127.0.0.0/8: they join through the first, some stop without a word, and
// when the others were told is printed as one line of JSON. What `hearsay loadtest` does, for memberlist (bench/fast/sockets.mjs).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math"
	"net"
	"os"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

type member struct {
	list      *memberlist.Memberlist
	transport *counting
	name      string
	isKilled  atomic.Bool
}

// counting is memberlist's own transport, and counts what goes out.
type counting struct {
	*memberlist.NetTransport
	packets, bytes atomic.Int64
}

func (t *counting) WriteTo(b []byte, addr string) (time.Time, error) {
	t.packets.Add(1)
	t.bytes.Add(int64(len(b)))
	return t.NetTransport.WriteTo(b, addr)
}

func (t *counting) WriteToAddress(b []byte, addr memberlist.Address) (time.Time, error) {
	t.packets.Add(1)
	t.bytes.Add(int64(len(b)))
	return t.NetTransport.WriteToAddress(b, addr)
}

// verdicts gathers who was told that whom is gone.
type verdicts struct {
	mutex    sync.Mutex
	killedAt time.Time
	killed   map[string]bool
	first    map[string]float64
	every    []float64
	wrong    int
	accused  map[string]bool
}

func (v *verdicts) note(about string) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if !v.killed[about] {
		v.wrong++
		v.accused[about] = true
		return
	}
	ms := float64(time.Since(v.killedAt).Microseconds()) / 1000
	v.every = append(v.every, ms)
	if _, known := v.first[about]; !known {
		v.first[about] = ms
	}
}

func (v *verdicts) count() int {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	return len(v.every)
}

type listener struct {
	self *member
	all  *verdicts
}

func (l listener) NotifyJoin(*memberlist.Node)   {}
func (l listener) NotifyUpdate(*memberlist.Node) {}
func (l listener) NotifyLeave(node *memberlist.Node) {
	if !l.self.isKilled.Load() {
		l.all.note(node.Name)
	}
}

func main() {
	nodes := flag.Int("nodes", 100, "members")
	kill := flag.Int("kill", 1, "members that stop at once")
	profile := flag.String("profile", "lan", "lan or local")
	limit := flag.Duration("limit", 60*time.Second, "longest wait for joining, and for verdicts")
	settle := flag.Duration("settle", 5*time.Second, "rest before and after")
	flag.Parse()

	all := &verdicts{killed: map[string]bool{}, first: map[string]float64{}, accused: map[string]bool{}}
	members := make([]*member, *nodes)
	for i := range members {
		made, err := start(i, *profile, all)
		if err != nil {
			fmt.Fprintf(os.Stderr, "member %d: %v\n", i, err)
			os.Exit(1)
		}
		members[i] = made
	}
	joinedIn, seenByAll := join(members, *limit)
	time.Sleep(*settle)

	before := usage()
	sentPackets, sentBytes := sent(members)
	measured := time.Now()
	// Not the first, which all have joined through.
	step := (*nodes - 1) / *kill
	victims := []*member{}
	for i := 0; i < *kill; i++ {
		victims = append(victims, members[1+i*step])
	}
	all.mutex.Lock()
	all.killedAt = time.Now()
	for _, victim := range victims {
		victim.isKilled.Store(true)
		all.killed[victim.name] = true
	}
	all.mutex.Unlock()
	var stopping sync.WaitGroup
	for _, victim := range victims {
		stopping.Add(1)
		go func() {
			defer stopping.Done()
			// Shutdown without Leave is memberlist's way to crash.
			_ = victim.list.Shutdown()
		}()
	}
	expected := *kill * (*nodes - *kill)
	for deadline := time.Now().Add(*limit); time.Now().Before(deadline) && all.count() < expected; {
		time.Sleep(20 * time.Millisecond)
	}
	stopping.Wait()
	time.Sleep(*settle)
	seconds := time.Since(measured).Seconds()
	packets, bytes := sent(members)
	after := usage()

	all.mutex.Lock()
	defer all.mutex.Unlock()
	firsts := []float64{}
	for _, ms := range all.first {
		firsts = append(firsts, ms)
	}
	out, _ := json.Marshal(map[string]any{
		"nodes": *nodes, "killed": *kill, "profile": *profile, "go": runtime.Version(),
		"joinMs": round(joinedIn), "seenByAll": seenByAll,
		"first": quantiles(firsts), "every": quantiles(all.every),
		"verdicts": len(all.every), "verdictsExpected": expected,
		"falsePositives": all.wrong, "accused": len(all.accused),
		"packetsPerNode": float64(packets-sentPackets) / seconds / float64(*nodes),
		"bytesPerNode":   float64(bytes-sentBytes) / seconds / float64(*nodes),
		"cpu":            (after - before) / seconds, "rssBytes": peakBytes(),
	})
	fmt.Println(string(out))
	os.Exit(0)
}

func start(i int, profile string, all *verdicts) (*member, error) {
	ip := net.IPv4(127, byte(100+i>>16), byte(i>>8), byte(1+i&127)).String()
	if i&128 != 0 {
		ip = net.IPv4(127, byte(110+i>>16), byte(i>>8), byte(1+i&127)).String()
	}
	made := &member{name: fmt.Sprintf("n%d", i)}
	config := memberlist.DefaultLANConfig()
	if profile == "local" {
		config = memberlist.DefaultLocalConfig()
	}
	quiet := log.New(io.Discard, "", 0)
	transport, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{ip}, BindPort: 7947, Logger: quiet})
	if err != nil {
		return nil, err
	}
	made.transport = &counting{NetTransport: transport}
	config.Name, config.BindAddr, config.BindPort, config.AdvertisePort = made.name, ip, 7947, 7947
	config.AdvertiseAddr = ip
	config.Transport, config.Logger = made.transport, quiet
	config.Events = listener{made, all}
	// As in the load test of hearsay: LZW of states for hundreds of members on a few processors would be all that is measured.
	config.EnableCompression = false
	made.list, err = memberlist.Create(config)
	return made, err
}

// join has each member join through the first, some at a time; how long until all saw all, ms.
func join(members []*member, limit time.Duration) (float64, bool) {
	began := time.Now()
	seed := members[0].list.LocalNode().Address()
	places := make(chan struct{}, 8)
	var joining sync.WaitGroup
	for _, each := range members[1:] {
		joining.Add(1)
		places <- struct{}{}
		go func() {
			defer func() { <-places; joining.Done() }()
			for time.Since(began) < limit {
				if _, err := each.list.Join([]string{seed}); err == nil {
					return
				}
			}
		}()
	}
	joining.Wait()
	for deadline := began.Add(2 * limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		isComplete := true
		for _, each := range members {
			if each.list.NumMembers() != len(members) {
				isComplete = false
				break
			}
		}
		if isComplete {
			return float64(time.Since(began).Microseconds()) / 1000, true
		}
	}
	return float64(time.Since(began).Microseconds()) / 1000, false
}

func sent(members []*member) (packets, bytes int64) {
	for _, each := range members {
		packets += each.transport.packets.Load()
		bytes += each.transport.bytes.Load()
	}
	return packets, bytes
}

func usage() float64 {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

func peakBytes() int64 {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return used.Maxrss * 1024
}

func quantiles(values []float64) map[string]float64 {
	if len(values) == 0 {
		return nil
	}
	sort.Float64s(values)
	at := func(share float64) float64 {
		return round(values[int(math.Max(0, math.Ceil(share*float64(len(values)))-1))])
	}
	return map[string]float64{"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999), "max": at(1)}
}

func round(ms float64) float64 { return math.Round(ms) }
