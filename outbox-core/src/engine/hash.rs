//! Tables of what is in memory. Every event goes through several of them, so they hash faster than those of the standard
//! library, which are safe from whoever may choose the keys and watch how long things take. Here nobody can do both.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

pub(super) type Map<K, V> = HashMap<K, V, RandomState>;
pub(super) type Set<K> = HashSet<K, RandomState>;
