//! What a user does, through the two binaries, against a real engine.

mod browser;
mod faults;
mod fidelity;
mod home;
mod hostile;
mod interrupts;
mod kind;
mod past;
mod refusals;
mod road;
mod selftest;
