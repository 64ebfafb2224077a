//! The manager: block tables over the pool, for one group of full attention.

use crate::pool::{Hash, Pool};
use std::collections::BTreeMap;

pub struct Configuration {
    pub num_blocks: usize,
    pub block_size: usize,
    pub max_model_len: usize,
    pub caching: bool,
    pub events: bool,
    pub log_stats: bool,
}

/// An item (an image, say) behind the tokens [offset, offset + length).
pub struct Item {
    pub name: String,
    pub offset: usize,
    pub length: usize,
}

#[derive(Default)]
pub struct Request {
    pub tokens: Vec<i64>,
    pub hashes: Vec<Hash>,
    pub adapter: Option<String>,
    pub salt: Option<String>,
    pub items: Vec<Item>,
    pub skips_reading: bool,
    /// The blocks that the last lookup found.
    pub hit: Vec<usize>,
}

/// The first `handled` blocks of a table are in the prefix cache.
#[derive(Default)]
pub struct Table {
    pub blocks: Vec<usize>,
    pub handled: usize,
}

#[derive(Default, Clone, Copy)]
pub struct Stats {
    pub reset: bool,
    pub first: [usize; 3],
    pub preempted: [usize; 3],
}

pub enum Key {
    Name(String),
    Item(String, i64),
}

pub enum Event {
    Stored {
        hashes: Vec<Hash>,
        parent: Option<Hash>,
        tokens: Vec<i64>,
        adapter: Option<String>,
        keys: Vec<Vec<Key>>,
    },
    Removed(Hash),
    Cleared,
}

/// What a caller did wrong, by its name in the protocol.
pub type Mistake = &'static str;

pub struct Allocation {
    pub computed: usize,
    pub new: usize,
    pub hit: Option<usize>,
    pub lookahead: usize,
    pub external: usize,
    pub delay: bool,
    pub must_fit: bool,
    pub reserved: usize,
}

pub struct Manager {
    pub configuration: Configuration,
    pub pool: Pool,
    pub tables: BTreeMap<String, Table>,
    pub requests: BTreeMap<String, Request>,
    pub stats: Stats,
    events: Vec<Event>,
    taken: Vec<usize>,
}

impl Manager {
    pub fn new(configuration: Configuration) -> Self {
        Manager {
            pool: Pool::new(configuration.num_blocks),
            configuration,
            tables: BTreeMap::new(),
            requests: BTreeMap::new(),
            stats: Stats::default(),
            events: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// The longest cached prefix that leaves a token to compute: its blocks.
    pub fn look_up(&mut self, name: &str, is_preempted: bool) -> Vec<usize> {
        let request = self.requests.get_mut(name).expect("a request that has arrived");
        request.hit.clear();
        if !self.configuration.caching || request.skips_reading {
            return Vec::new();
        }
        let longest = request.tokens.len().saturating_sub(1) / self.configuration.block_size;
        let found = request
            .hashes
            .iter()
            .take(longest)
            .map_while(|hash| self.pool.find(hash));
        request.hit = found.collect();
        let counts = if is_preempted {
            &mut self.stats.preempted
        } else {
            &mut self.stats.first
        };
        let tokens = [
            1,
            request.tokens.len(),
            request.hit.len() * self.configuration.block_size,
        ];
        counts
            .iter_mut()
            .zip(tokens)
            .for_each(|(count, more)| *count += more);
        request.hit.clone()
    }

    /// The blocks that were appended for the new tokens; None if there are too few.
    pub fn allocate(&mut self, name: &str, step: &Allocation) -> Result<Option<Vec<usize>>, Mistake> {
        if step.new == 0 && step.external == 0 {
            return Err("NothingToAllocateError");
        }
        let size = self.configuration.block_size;
        let longest = self.configuration.max_model_len;
        let request = &self.requests[name];
        let hit = if step.hit.is_some() {
            request.hit.clone()
        } else {
            Vec::new()
        };
        let length = request.tokens.len();
        let held = self.tables.get(name).map(|table| table.blocks.len());
        let computed = step.computed + step.hit.unwrap_or(0) + step.external;
        let end = computed.min(longest) + step.new;
        let slots = (end + step.lookahead).min(longest);
        let full = end.min(length).min(slots);
        let caches = self.configuration.caching && !step.delay;
        if caches && full / size > request.hashes.len() {
            return Err("UnhashedTokensError");
        }
        let idle = hit.iter().filter(|&&block| self.pool.users[block] == 0).count();
        // A table is begun with what is computed; one that is there only grows.
        let bound = if step.external > 0 {
            computed.div_ceil(size).max(hit.len())
        } else {
            hit.len()
        };
        let start = held.unwrap_or(bound);
        let fresh = |slots: usize| slots.div_ceil(size).saturating_sub(start);
        let before = if held.is_some() { 0 } else { bound - hit.len() };
        let need = |slots| before + fresh(slots) + if held.is_some() { 0 } else { idle };
        let free = self.pool.num_free();
        let whole = need(length.min(longest));
        if step.must_fit && whole > free {
            return Ok(None);
        }
        let needed = need(slots);
        if needed > 0 && needed + step.reserved > free {
            return Ok(None);
        }
        let new = fresh(slots);
        if held.is_none() {
            hit.iter().for_each(|&block| self.pool.hold(block));
            let external: Vec<usize> = (0..before).map(|_| self.take()).collect();
            let handled = hit.len();
            let blocks = [hit, external].concat();
            self.tables.insert(name.to_string(), Table { blocks, handled });
        }
        let appended: Vec<usize> = (0..new).map(|_| self.take()).collect();
        self.tables
            .get_mut(name)
            .expect("just begun")
            .blocks
            .extend(&appended);
        if caches {
            self.store(name, full / size);
        }
        Ok(Some(appended))
    }

    fn take(&mut self) -> usize {
        let block = self.pool.take();
        self.note_removals();
        self.taken.push(block);
        block
    }

    /// Put the full blocks among so many tokens into the prefix cache.
    pub fn cache_blocks(&mut self, name: &str, tokens: usize) -> Result<(), Mistake> {
        if !self.configuration.caching {
            return Ok(());
        }
        let full = tokens / self.configuration.block_size;
        let held = self.tables.get(name).map_or(0, |table| table.blocks.len());
        if full > self.requests[name].hashes.len() || full > held {
            return Err("UnhashedTokensError");
        }
        if self.tables.contains_key(name) {
            self.store(name, full);
        }
        Ok(())
    }

    fn store(&mut self, name: &str, end: usize) {
        let (request, size) = (&self.requests[name], self.configuration.block_size);
        let table = self.tables.get_mut(name).expect("a request with a table");
        let first = table.handled;
        if first >= end {
            return;
        }
        for index in first..end {
            self.pool.store(table.blocks[index], &request.hashes[index]);
        }
        table.handled = end;
        if self.configuration.events {
            self.events.push(Event::Stored {
                hashes: request.hashes[first..end].to_vec(),
                parent: first.checked_sub(1).map(|before| request.hashes[before].clone()),
                tokens: request.tokens[first * size..end * size].to_vec(),
                adapter: request.adapter.clone(),
                keys: (first..end)
                    .map(|index| request.extra_keys(index * size, size))
                    .collect(),
            });
        }
    }

    pub fn free(&mut self, name: &str) {
        if let Some(table) = self.tables.remove(name) {
            self.pool.release(table.blocks.into_iter().rev());
        }
    }

    pub fn evict(&mut self, blocks: &[usize]) -> Result<(), Mistake> {
        if blocks.iter().any(|&block| block >= self.configuration.num_blocks) {
            return Err("UnknownBlockError");
        }
        blocks.iter().for_each(|&block| self.pool.forget(block));
        self.note_removals();
        Ok(())
    }

    pub fn reset(&mut self) -> bool {
        let done = self.pool.reset();
        if done {
            self.stats.reset = true;
            if self.configuration.events {
                self.events.push(Event::Cleared);
            }
        }
        done
    }

    fn note_removals(&mut self) {
        let removed = self.pool.removed.drain(..);
        if self.configuration.events {
            self.events.extend(removed.map(Event::Removed));
        }
    }

    /// How many leading blocks every request with a table shares.
    pub fn common_prefix(&self, name: &str) -> usize {
        let Some(table) = self.tables.get(name).filter(|_| self.configuration.caching) else {
            return 0;
        };
        table
            .blocks
            .iter()
            .take_while(|&&block| self.pool.users[block] == self.tables.len())
            .count()
    }

    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub fn take_new_blocks(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.taken)
    }

    pub fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }
}

impl Request {
    /// What besides its tokens makes the block of `size` tokens from `start` on what it is.
    fn extra_keys(&self, start: usize, size: usize) -> Vec<Key> {
        let items = self
            .items
            .iter()
            .filter(|item| item.offset < start + size && start < item.offset + item.length);
        let adapter = self.adapter.iter().cloned().map(Key::Name);
        let salt = self.salt.iter().filter(|_| start == 0).cloned().map(Key::Name);
        adapter
            .chain(items.map(|item| Key::Item(item.name.clone(), item.offset as i64 - start as i64)))
            .chain(salt)
            .collect()
    }
}
