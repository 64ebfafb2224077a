//! The block pool: who uses which block, which blocks are free, and where content can be found.

use std::collections::HashMap;
use std::rc::Rc;

/// The hash of a block's content, as kvref has handed it out.
pub type Hash = Rc<str>;

pub const NULL: usize = 0;
const NONE: usize = usize::MAX;

/// A queue of block ids with removal from the middle: links by id, the null block's id is both ends.
struct FreeQueue {
    next: Vec<usize>,
    before: Vec<usize>,
    len: usize,
}

impl FreeQueue {
    fn new(blocks: usize) -> Self {
        let mut queue = FreeQueue {
            next: vec![NONE; blocks],
            before: vec![NONE; blocks],
            len: 0,
        };
        (queue.next[NULL], queue.before[NULL]) = (NULL, NULL);
        (1..blocks).for_each(|block| queue.push(block));
        queue
    }

    fn push(&mut self, block: usize) {
        let last = self.before[NULL];
        self.next[last] = block;
        (self.before[block], self.next[block]) = (last, NULL);
        self.before[NULL] = block;
        self.len += 1;
    }

    fn remove(&mut self, block: usize) {
        let (before, next) = (self.before[block], self.next[block]);
        (self.next[before], self.before[next]) = (next, before);
        self.len -= 1;
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(self.next[NULL]), |&block| Some(self.next[block]))
            .take_while(|&block| block != NULL)
    }
}

pub struct Pool {
    pub users: Vec<usize>,
    pub content: Vec<Option<Hash>>,
    /// Under each hash the blocks with that content, oldest first.
    pub map: HashMap<Hash, Vec<usize>>,
    queue: FreeQueue,
    /// Hashes whose blocks lost them since this was emptied.
    pub removed: Vec<Hash>,
}

impl Pool {
    pub fn new(blocks: usize) -> Self {
        Pool {
            users: vec![0; blocks],
            content: vec![None; blocks],
            map: HashMap::new(),
            queue: FreeQueue::new(blocks),
            removed: Vec::new(),
        }
    }

    pub fn free_blocks(&self) -> impl Iterator<Item = usize> + '_ {
        self.queue.iter()
    }

    pub fn num_free(&self) -> usize {
        self.queue.len
    }

    /// The share of blocks that are held.
    pub fn usage(&self) -> f64 {
        let usable = self.users.len() - 1;
        if usable == 0 {
            return 0.0;
        }
        1.0 - self.num_free() as f64 / usable as f64
    }

    /// The oldest block with this content.
    pub fn find(&self, hash: &Hash) -> Option<usize> {
        self.map.get(hash).map(|holders| holders[0])
    }

    /// The first free block, which loses its content. There must be one.
    pub fn take(&mut self) -> usize {
        let block = self.queue.next[NULL];
        self.queue.remove(block);
        self.forget(block);
        self.users[block] = 1;
        block
    }

    /// One more user of a block that was hit.
    pub fn hold(&mut self, block: usize) {
        if self.users[block] == 0 {
            self.queue.remove(block);
        }
        self.users[block] += 1;
    }

    /// One user less for each block, in this order; unused ones go to the queue's end.
    pub fn release(&mut self, blocks: impl Iterator<Item = usize>) {
        for block in blocks {
            self.users[block] -= 1;
            if self.users[block] == 0 {
                self.queue.push(block);
            }
        }
    }

    pub fn store(&mut self, block: usize, hash: &Hash) {
        self.content[block] = Some(hash.clone());
        self.map.entry(hash.clone()).or_default().push(block);
    }

    /// The block's content can be found no more.
    pub fn forget(&mut self, block: usize) {
        let Some(hash) = self.content[block].take() else {
            return;
        };
        let holders = self.map.get_mut(&hash).expect("content is in the map");
        holders.retain(|&holder| holder != block);
        if holders.is_empty() {
            self.map.remove(&hash);
        }
        self.removed.push(hash);
    }

    /// Forget all content, unless a block is in use.
    pub fn reset(&mut self) -> bool {
        let is_unused = self.num_free() == self.users.len() - 1;
        if is_unused {
            self.content.fill(None);
            self.map.clear();
        }
        is_unused
    }
}
