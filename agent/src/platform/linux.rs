//! Linux: one file for each part of the kernel that the agent talks to.

pub mod address;
pub mod bpf;
pub mod clock_sync;
pub mod heap;
pub mod inotify;
pub mod listening;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod route;
pub mod sock_diag;
pub mod socket;
pub mod wait;
