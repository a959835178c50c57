// Stands in for CUDA's side of ops/cuda/device.h: one block at a time, its lanes as fibers that take turns.
//
// A lane runs until it needs the others of its warp (a shuffle, a vote, a barrier). All 32 have to arrive at the
// same place, or the run fails; and the order of their turns can be changed, so that a missing barrier shows
// as a result that depends on it.
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>
#include <ucontext.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#define DETR_KIT_BOTH inline
#define DETR_KIT_GPU inline
#define DETR_KIT_KERNEL(threads, blocks) void
#define DETR_KIT_PARAMETER const
#define DETR_KIT_UNROLL(n)

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};

namespace detr_kit::gpu {

class Block {
 public:
  static constexpr int kLanes = 32;
  static inline Block* current = nullptr;

  int64_t index = 0, count = 1;
  int running = 0;
  char* shared = nullptr;

  // Runs `body` once for every thread of a block. Order 0: lanes in turn; 1: backwards; 2: odd ones first.
  void run(int threads, int64_t shared_bytes, int order, const std::function<void()>& body) {
    constexpr int kGuard = 256;
    std::vector<char> memory(size_t(shared_bytes) + kGuard + 16, char(0x5a));
    shared = memory.data() + (16 - reinterpret_cast<uintptr_t>(memory.data()) % 16) % 16;
    memset(shared, 0xff, size_t(shared_bytes));  // NaN: what nobody wrote must not be read
    body_ = &body;
    fibers_.assign(size_t(threads), Fiber{});
    warps_.assign(size_t(threads / kLanes), Warp{});
    current = this;
    for (int i = 0; i < threads; ++i) start(i);
    bool alive = true;
    while (alive) {
      alive = false;
      const int64_t before = progress_;
      for (int turn = 0; turn < threads; ++turn) {
        int i = turn;
        if (order == 1) i = threads - 1 - turn;
        if (order == 2) i = turn < threads / 2 ? 2 * turn + 1 : 2 * (turn - threads / 2);
        if (fibers_[size_t(i)].done) continue;
        alive = true;
        running = i;
        resume(fibers_[size_t(i)]);
        if (!failure_.empty()) throw std::runtime_error(failure_);
      }
      if (alive && progress_ == before) throw std::runtime_error("lanes wait for others of their warp that ended");
    }
    for (int i = 0; i < kGuard; ++i)
      if (shared[shared_bytes + i] != char(0x5a)) throw std::runtime_error("written past the shared memory");
  }

  // Waits for all threads of the block.
  void meet_all() {
    ++progress_;
    const int64_t generation = generation_;
    if (++arrived_ == int(fibers_.size())) arrived_ = 0, ++generation_;
    while (generation_ == generation) yield();
  }

  // Meets the other lanes of the warp; returns what each has brought.
  template <class A>
  void meet(int kind, A value, A (&all)[kLanes]) {
    Warp& warp = warps_[size_t(running / kLanes)];
    ++progress_;
    if (warp.arrived == 0) warp.kind = kind;
    if (warp.kind != kind) return fail("lanes of a warp meet at different places");
    memcpy(warp.brought[running % kLanes], &value, sizeof(A));
    const int64_t generation = warp.generation;
    if (++warp.arrived == kLanes) {
      memcpy(warp.latched, warp.brought, sizeof(warp.latched));
      warp.arrived = 0;
      ++warp.generation;
    }
    while (warps_[size_t(running / kLanes)].generation == generation) yield();
    for (int i = 0; i < kLanes; ++i) memcpy(&all[i], warps_[size_t(running / kLanes)].latched[i], sizeof(A));
  }

 private:
  static constexpr size_t kStack = 128 * 1024;
  struct Fiber {
    ucontext_t context;  // to start with; from then on jumps, which save no signal mask and are much faster
    jmp_buf place;
    bool started = false, done = false;
  };
  struct Warp {
    int arrived = 0, kind = 0;
    int64_t generation = 0;
    char brought[kLanes][8], latched[kLanes][8];
  };

  void start(int i) {
    Fiber& fiber = fibers_[size_t(i)];
    static std::vector<std::unique_ptr<char[]>> stacks;  // kept, as touching fresh memory is slow
    while (stacks.size() <= size_t(i)) stacks.emplace_back(new char[kStack]);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stacks[size_t(i)].get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &Block::enter, 0);
  }
  static void enter() {
    try {
      (*current->body_)();
    } catch (const std::exception& error) {  // must not leave the fiber
      current->failure_ = error.what();
    }
    ++current->progress_;
    current->fibers_[size_t(current->running)].done = true;
    _longjmp(current->scheduler_, 1);
  }
  void resume(Fiber& fiber) {
    if (_setjmp(scheduler_) != 0) return;
    if (fiber.started) _longjmp(fiber.place, 1);
    fiber.started = true;
    setcontext(&fiber.context);
  }
  void yield() {
    if (_setjmp(fibers_[size_t(running)].place) == 0) _longjmp(scheduler_, 1);
  }
  void fail(const char* message) {
    failure_ = message;
    yield();
  }

  const std::function<void()>* body_ = nullptr;
  std::vector<Fiber> fibers_;
  std::vector<Warp> warps_;
  jmp_buf scheduler_;
  std::string failure_;
  int64_t progress_ = 0, generation_ = 0;
  int arrived_ = 0;
};

inline char* shared_memory() { return Block::current->shared; }
inline int thread_index() { return Block::current->running; }
inline int64_t block_index() { return Block::current->index; }
inline int64_t block_count() { return Block::current->count; }

inline void sync_warp() {
  int all[Block::kLanes];
  Block::current->meet(1, 0, all);
}
inline void sync_block() { Block::current->meet_all(); }
inline unsigned ballot(bool condition) {
  bool all[Block::kLanes];
  Block::current->meet(2, condition, all);
  unsigned bits = 0;
  for (int i = 0; i < Block::kLanes; ++i) bits |= unsigned(all[i]) << i;
  return bits;
}
inline int lowest_bit(unsigned bits) { return __builtin_ctz(bits); }
template <class A>
A from_lane_xor(A value, int mask) {
  A all[Block::kLanes];
  Block::current->meet(100 + mask, value, all);
  return all[(Block::current->running % Block::kLanes) ^ mask];
}
inline float exponential(float x) { return expf(x); }
inline double exponential(double x) { return exp(x); }

inline uint4 load_16(const void* address) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0) throw std::runtime_error("a 16-byte load is not aligned");
  uint4 bits;
  memcpy(&bits, address, 16);
  return bits;
}
inline void store_16(void* address, uint4 bits) {
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0) throw std::runtime_error("a 16-byte store is not aligned");
  memcpy(address, &bits, 16);
}

template <class A>
void add(bool wanted, A* address, A x) {
  if (wanted) *address += x;
}
template <class T>
T* row_at(T* base, int32_t row, uint32_t bytes) {
  if (row < 0) throw std::runtime_error("a row before the first");
  return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(base) + uint64_t(row) * bytes);
}
inline bool four_at_once = true;
inline bool adds_four() { return four_at_once; }
inline void add_4(bool wanted, float* address, float a, float b, float c, float d) {
  if (!wanted) return;
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0) throw std::runtime_error("a 16-byte addition is not aligned");
  address[0] += a, address[1] += b, address[2] += c, address[3] += d;
}

inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}
inline float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
inline float half_to_float(uint16_t bits) { return float(c10::Half(bits, c10::Half::from_bits())); }
inline uint16_t float_to_half(float x) { return c10::Half(x).x; }
inline uint16_t float_to_bfloat16(float x) { return c10::BFloat16(x).x; }

}  // namespace detr_kit::gpu
