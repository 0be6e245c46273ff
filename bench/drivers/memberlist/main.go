// The memberlist column of `make bench`: see bench/drivers/memberlist.ts for how it is built.
package main

import (
	"os"

	"github.com/hashicorp/memberlist"
)

func main() {
	memberlist.BenchMain(os.Args[1:])
}
