//! Tables of what is in memory. Every event goes through several of them, so they hash faster than those of the standard
//! library. Their seeds too are drawn at random in each process, so that keys that collide cannot be prepared; against
//! somebody who chooses keys and can measure single look-ups they are weaker.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

pub(super) type Map<K, V> = HashMap<K, V, RandomState>;
pub(super) type Set<K> = HashSet<K, RandomState>;
