//! Who may open a data directory: one process at a time.

use std::sync::Arc;

use plimsoll_engine::env::RealFileSystem;
use plimsoll_engine::{Engine, Error, Options};

#[test]
fn a_second_engine_is_refused_until_the_first_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { fs: Arc::new(RealFileSystem), ..Options::default() };
    let first = Engine::open(dir.path(), options()).unwrap();
    match Engine::open(dir.path(), options()) {
        Err(Error::Locked { path, holder }) => {
            assert_eq!(path, dir.path());
            assert_eq!(holder, Some(std::process::id()));
        }
        other => panic!("opened twice: {other:?}"),
    }
    drop(first);
    Engine::open(dir.path(), options()).unwrap();
}
