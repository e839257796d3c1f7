//! The rules of the house that no compiler checks, each as one test over the whole checkout.
//!
//! Marked `cfg(test)`, though nothing else is built here, because the lints allow a test to unwrap
//! only where they can see that it is one.

#[cfg(test)]
mod code;
#[cfg(test)]
mod dependencies;
#[cfg(test)]
mod files;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod tree;
#[cfg(test)]
mod words;
