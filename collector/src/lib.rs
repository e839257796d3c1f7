//! Cordon's collector: takes in signed events, keeps them, serves the console and passes signed
//! commands on. It signs nothing that an endpoint would obey.

pub mod answers;
pub mod api;
pub mod audit;
pub mod authority;
pub mod bus;
pub mod ca;
pub mod carriers;
pub mod clock;
pub mod collections;
pub mod collector;
pub mod command;
pub mod config;
pub mod derive;
pub mod door;
pub mod enrol;
pub mod handover;
pub mod ingest;
pub mod link;
pub mod links;
pub mod listen;
pub mod number;
pub mod operator;
pub mod people;
pub mod presence;
pub mod preview;
pub mod run;
pub mod search;
pub mod setup;
pub mod signin;
pub mod store;
pub mod tenant;
pub mod time;
pub mod tls;
pub mod upgrade;
