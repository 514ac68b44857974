//! `plimsoll verify`: reads and checks every byte, and names what is damaged.
