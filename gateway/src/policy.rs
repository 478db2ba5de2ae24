//! Who may do what and how much.

#[cfg(feature = "retrieval")]
pub mod corpora;
pub mod gate;
pub mod identity;
pub mod key;
pub mod limits;
pub mod pseudonym;
pub mod role;
