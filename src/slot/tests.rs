//! The whole server in a made-up world: no socket, no process, and a clock that is set by hand.

mod board;
mod calls;
mod chaos;
mod ends;
mod house;
mod limits;
mod passwords;
mod pushes;
mod rights;
mod world;

use crate as friendlet;
