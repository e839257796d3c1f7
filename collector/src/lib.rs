//! Cordon's collector: takes in signed events, keeps them, serves the console and passes signed
//! commands on. It signs nothing that an endpoint would obey.

pub mod authority;
pub mod bus;
pub mod clock;
pub mod collector;
pub mod config;
pub mod links;
pub mod store;
