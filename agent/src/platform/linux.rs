//! Linux: one file for each part of the kernel that the agent talks to.

pub mod address;
pub mod bpf;
pub mod cgroup;
pub mod cgroup_scope;
pub mod child;
pub mod clock_sync;
pub mod directories;
pub mod fanotify;
pub mod heap;
pub mod holder;
pub mod inotify;
pub mod listening;
pub mod module;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod nvme;
pub mod packet;
pub mod poll;
pub mod route;
pub mod sock_diag;
pub mod socket;
pub mod uevent;
pub mod wait;
pub mod xfrm;
pub mod zone;
