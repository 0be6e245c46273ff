package main

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/hashicorp/memberlist"
)

// entry is what memberlist keeps about a member but does not show: its public Node always says "alive", because the table has a
// state field of its own. Suspect, dead, left and the incarnation are only there, so the tests read the table itself. That
// ties this file to the pinned release; a release without these fields fails at the first start (checkTable).
type entry struct {
	Name        string `json:"name"`
	State       string `json:"state"`
	Incarnation uint64 `json:"incarnation"`
}

// tableLock is the lock that guards the table.
func tableLock(list *memberlist.Memberlist) *sync.RWMutex {
	field := reflect.ValueOf(list).Elem().FieldByName("nodeLock")
	return (*sync.RWMutex)(unsafe.Pointer(field.UnsafeAddr()))
}

// checkTable panics when the table does not look as expected.
func checkTable(list *memberlist.Memberlist) {
	value := reflect.ValueOf(list).Elem()
	if value.FieldByName("nodeLock").Type() != reflect.TypeOf(sync.RWMutex{}) {
		panic("memberlist: nodeLock is no sync.RWMutex any more")
	}
	if value.FieldByName("nodeMap").Kind() != reflect.Map {
		panic("memberlist: nodeMap is no map any more")
	}
	if entries := table(list); len(entries) == 0 || entries[0].State != "alive" || entries[0].Incarnation == 0 {
		panic("memberlist: the node table has changed its shape")
	}
}

// table reads all entries, the dead and left ones included.
func table(list *memberlist.Memberlist) []entry {
	lock := tableLock(list)
	lock.RLock()
	defer lock.RUnlock()
	entries := []entry{}
	for i := reflect.ValueOf(list).Elem().FieldByName("nodeMap").MapRange(); i.Next(); {
		entries = append(entries, read(i.Value()))
	}
	return entries
}

// stateWithin reads one state from inside an event callback, which memberlist makes with the table locked.
func stateWithin(list *memberlist.Memberlist, name string) string {
	found := reflect.ValueOf(list).Elem().FieldByName("nodeMap").MapIndex(reflect.ValueOf(name))
	if !found.IsValid() {
		return "unknown"
	}
	return read(found).State
}

func read(pointer reflect.Value) entry {
	state := pointer.Elem()
	return entry{
		Name:        state.FieldByName("Node").FieldByName("Name").String(),
		State:       stateNames[memberlist.NodeStateType(state.FieldByName("State").Int())],
		Incarnation: state.FieldByName("Incarnation").Uint(),
	}
}
