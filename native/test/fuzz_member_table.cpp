// Fuzz target of the member table: datagrams and bodies through the codec, records that no codec would write, local news, time,
// and damage to each of the arenas that a merge touches.

#include "fuzz_members.hpp"

namespace {

using namespace hearsay;

void run_one(const uint8_t* bytes, std::size_t length) {
  static fuzz::Members members;
  members.reset();
  fuzz::Input input(bytes, length);
  members.fill(input);
  for (int steps = 0; steps < 64 && !input.done(); steps++) members.act(input);
}

}  // namespace

HEARSAY_FUZZ_TARGET(member_table, run_one)
