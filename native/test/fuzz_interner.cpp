// Fuzz target of the interner: calls against a model of it, and damage to its arena between them.

#include <map>

#include "fuzz_members.hpp"

namespace {

using namespace hearsay;
using fuzz::Bytes;
using fuzz::Input;
using fuzz::require;

class Fixture {
 public:
  void run(Input input) {
    memory_.reset();
    require(!kernel_.attach(memory_.data(), memory_.size() - 8), "attached to a short arena");
    require(kernel_.attach(memory_.data(), memory_.size()), "did not attach");
    known_.clear();
    is_damaged_ = false;
    for (int steps = 0; steps < 128 && !input.done(); steps++) {
      act(input);
      if (!is_damaged_) check();
    }
  }

 private:
  struct Known {
    Bytes bytes;
    uint64_t refs;
  };

  /// Few different strings of all block classes, or any bytes.
  static Bytes text(Input& input) {
    const uint32_t style = input.u8();
    if (style >= 128) return input.take(style - 128);
    return Bytes((style & 7) == 7 ? 2040 + (style >> 3) : style, static_cast<uint8_t>('a' + style % 3));
  }

  void act(Input& input) {
    switch (input.u8() % 8) {
      case 0:
      case 1:
      case 2: {
        const Bytes bytes = text(input);
        const uint32_t before = kernel_.lookup(bytes.data(), bytes.size());
        const uint32_t id = kernel_.intern(bytes.data(), bytes.size());
        if (is_damaged_) break;
        require(before == 0 || before == id, "a known string got another id");
        if (id == 0) break;
        require(before != 0 || known_.find(id) == known_.end(), "an id was given twice");
        Known& known = known_[id];
        known.bytes = bytes;
        known.refs++;
        break;
      }
      case 3: {
        const uint32_t id = input.u8() % (fuzz::kInternerCapacity + 2);
        kernel_.retain(id);
        if (const auto found = known_.find(id); found != known_.end()) found->second.refs++;
        break;
      }
      case 4:
      case 5: {
        const uint32_t id = input.u8() % (fuzz::kInternerCapacity + 2);
        kernel_.release(id);
        if (const auto found = known_.find(id); found != known_.end() && --found->second.refs == 0) known_.erase(found);
        break;
      }
      case 6: {
        const uint64_t word = input.u8() % 2;
        const kernels::HashKey key{word, word};
        kernel_.set_hash_key(key);
        const uint32_t id = input.u8() % (fuzz::kInternerCapacity + 2);
        const uint64_t hash = kernel_.hash64(id);
        if (is_damaged_) break;
        const auto found = known_.find(id);
        require(hash == (found == known_.end()
                             ? 0
                             : kernels::siphash24(found->second.bytes.data(), found->second.bytes.size(), key)),
                "a kept hash is wrong");
        break;
      }
      default:
        memory_.damage(input);
        is_damaged_ = true;
        if ((input.u8() & 1) != 0) kernel_.attach(memory_.data(), memory_.size());
        read_all();
    }
  }

  /// Touches every byte that the interner hands out.
  void read_all() {
    uint32_t sum = 0;
    for (uint32_t id = 0; id <= fuzz::kInternerCapacity + 1; id++) {
      for (const uint8_t byte : kernel_.bytes(id)) sum += byte;
      sum += static_cast<uint32_t>(kernel_.hash64(id));
    }
    sink_ = sum;
  }

  void check() {
    require(memory_.get(layout::header::live) == known_.size(), "live");
    for (const auto& [id, known] : known_) {
      const auto bytes = kernel_.bytes(id);
      require(std::equal(bytes.begin(), bytes.end(), known.bytes.begin(), known.bytes.end()), "bytes of an id");
      require(kernel_.lookup(known.bytes.data(), known.bytes.size()) == id, "a known string is not found");
    }
  }

  fuzz::Memory memory_ = fuzz::interner_memory(8192);
  kernels::Interner kernel_;
  std::map<uint32_t, Known> known_;
  bool is_damaged_ = false;
  volatile uint32_t sink_ = 0;
};

void run_one(const uint8_t* bytes, std::size_t length) {
  static Fixture fixture;
  fixture.run(Input(bytes, length));
}

}  // namespace

HEARSAY_FUZZ_TARGET(interner, run_one)
