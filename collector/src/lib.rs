//! Cordon's collector: takes in signed events, keeps them, serves the console and passes signed
//! commands on. It signs nothing that an endpoint would obey.

pub mod authority;
pub mod bus;
pub mod ca;
pub mod clock;
pub mod collector;
pub mod config;
pub mod door;
pub mod enrol;
pub mod ingest;
pub mod link;
pub mod links;
pub mod listen;
pub mod people;
pub mod run;
pub mod setup;
pub mod store;
pub mod tls;
pub mod upgrade;
