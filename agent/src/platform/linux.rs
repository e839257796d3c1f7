//! Linux: BPF without a compiler, netlink, the heap.

pub mod bpf;
pub mod heap;
pub mod wait;
