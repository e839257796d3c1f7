//! BPF without a compiler: an assembler, a reader of the kernel's types, a loader, a ring reader.
//!
//! A program is a Rust function that emits instructions for the kernel it runs on, so that plain
//! `cargo build` suffices and nothing binary lies in the repository.

pub mod asm;
pub mod btf;
pub mod ring;
pub mod sys;
