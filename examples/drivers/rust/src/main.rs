//! kvref's driver protocol around the manager: a line is read, and a line is written.
//!
//! `cargo build --release`, then `kvref fuzz --target-cmd target/release/driver`. The protocol: docs/drivers.md.

mod json;
mod manager;
mod pool;

use json::{list, parse, quote, Value};
use manager::{Allocation, Configuration, Event, Item, Key, Manager, Mistake, Request, Stats};
use pool::Hash;
use std::fmt::Write as _;
use std::io::{BufRead as _, Write as _};
use std::rc::Rc;

const HELLO: &str = r#""protocol":1,"name":"full attention in Rust","level":"exact","capabilities":{"groups":["full","mla"],"operations":["ContinueRequest","CacheBlocks","RemoveSkipped","Evict","Reset","TakeEvents","TakeNewBlockIds","TakeStats","CommonPrefix"],"arguments":["external","delay","must_fit","reserved"],"requests":["salt","lora","items","skip_reading"],"caching_off":true,"mistakes":true}"#;

/// Adapters have this number, whatever their name.
const ADAPTER_ID: u32 = 7;
const GROUP: &str = "00000000";

struct Driver {
    manager: Option<Manager>,
    kind: &'static str,
}

fn main() {
    let mut driver = Driver {
        manager: None,
        kind: "",
    };
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let question = match parse(&line) {
            Ok(question) => question,
            Err(why) => {
                eprintln!("not a question: {why}");
                std::process::exit(1);
            }
        };
        let Some(mut answer) = driver.answer(&question) else {
            return;
        };
        answer.push('\n');
        if out
            .write_all(answer.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            return;
        }
    }
}

impl Driver {
    fn answer(&mut self, question: &Value) -> Option<String> {
        let mut out = format!(r#"{{"id":{},"type":"#, question.get("id").count(0));
        let done = match question.get("type").text().unwrap_or_default() {
            "close" => return None,
            "hello" => {
                let _ = write!(out, r#""hello",{HELLO}}}"#);
                Ok(())
            }
            "open" => self.open(question.get("configuration"), &mut out),
            "apply" => self.apply(question, &mut out),
            "snapshot" => self.show(&mut out),
            other => Err(format!("no question is called {other:?}")),
        };
        if let Err(reason) = done {
            out = format!(
                r#"{{"id":{},"type":"failed","reason":"#,
                question.get("id").count(0)
            );
            quote(&mut out, &reason);
            out.push('}');
        }
        Some(out)
    }

    fn open(&mut self, asked: &Value, out: &mut String) -> Result<(), String> {
        let [group] = asked.get("groups").list() else {
            return Err("there is one group here".into());
        };
        self.kind = match group.get("type").text() {
            Some("full") => "full_attention",
            Some("mla") => "mla_attention",
            other => return Err(format!("there are no groups of kind {other:?} here")),
        };
        let block_size = group.get("block_size").count(0);
        if asked.get("scheduler_block_size").count(0) % block_size != 0 {
            out.push_str(r#""refused","reason":"the scheduler's blocks are not whole blocks"}"#);
            return Ok(());
        }
        self.manager = Some(Manager::new(Configuration {
            num_blocks: asked.get("num_blocks").count(0),
            block_size,
            max_model_len: asked.get("max_model_len").count(0),
            caching: asked.get("enable_caching").flag(true),
            events: asked.get("enable_kv_cache_events").flag(true),
            log_stats: asked.get("log_stats").flag(true),
        }));
        out.push_str(r#""opened"}"#);
        Ok(())
    }

    fn apply(&mut self, question: &Value, out: &mut String) -> Result<(), String> {
        let manager = self.manager.as_mut().ok_or("nothing is open")?;
        let with_snapshots = question.get("snapshots").flag(false);
        let mut snapshots = String::new();
        out.push_str(r#""applied","observations":["#);
        for (index, call) in question.get("calls").list().iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            out.push_str(comma);
            let mistake = perform(manager, call, self.kind, out)?;
            if with_snapshots {
                snapshots.push_str(comma);
                show(manager, &mut snapshots);
            }
            if mistake {
                break;
            }
        }
        let _ = write!(out, r#"],"snapshots":[{snapshots}]}}"#);
        Ok(())
    }

    fn show(&self, out: &mut String) -> Result<(), String> {
        out.push_str(r#""snapshot","snapshot":"#);
        show(self.manager.as_ref().ok_or("nothing is open")?, out);
        out.push('}');
        Ok(())
    }
}

/// Perform one call, and write what it returned. True for a caller's mistake.
fn perform(manager: &mut Manager, call: &Value, kind: &str, out: &mut String) -> Result<bool, String> {
    let operation = call.get("operation");
    let name = operation.get("request").text().unwrap_or_default();
    let tokens = || operation.get("tokens").list().iter().filter_map(Value::int);
    let hashes = || {
        call.get("hashes")
            .list()
            .iter()
            .filter_map(Value::text)
            .map(Rc::from)
    };
    out.push('{');
    let result: Result<(), Mistake> = match operation.get("type").text().unwrap_or_default() {
        "NewRequest" => {
            let arrived = Request {
                tokens: tokens().collect(),
                hashes: hashes().collect(),
                adapter: named(operation.get("lora")),
                salt: named(operation.get("salt")),
                items: items(operation, 0),
                skips_reading: operation.get("skip_reading").flag(false),
                ..Request::default()
            };
            manager.requests.insert(name.into(), arrived);
            Ok(())
        }
        "AppendTokens" => {
            let request = manager.requests.get_mut(name).ok_or("no such request")?;
            request.tokens.extend(tokens());
            request.hashes.extend(hashes());
            Ok(())
        }
        "ContinueRequest" => {
            let request = manager.requests.get_mut(name).ok_or("no such request")?;
            request.tokens.truncate(operation.get("computed").count(0));
            let kept = request.tokens.len();
            request.items.extend(items(operation, kept));
            request.tokens.extend(tokens());
            request.hashes.extend(hashes());
            Ok(())
        }
        "Lookup" => {
            let hit = manager.look_up(name, operation.get("preemptions").count(0) > 0);
            let _ = write!(
                out,
                r#""tokens":{},"blocks":["#,
                hit.len() * manager.configuration.block_size
            );
            numbers(out, &hit);
            out.push(']');
            Ok(())
        }
        "Allocate" => {
            let step = Allocation {
                computed: operation.get("computed").count(0),
                new: operation.get("new").count(0),
                hit: operation.get("hit").int().map(|hit| hit as usize),
                lookahead: operation.get("lookahead").count(0),
                external: operation.get("external").count(0),
                delay: operation.get("delay").flag(false),
                must_fit: operation.get("must_fit").flag(false),
                reserved: operation.get("reserved").count(0),
            };
            manager.allocate(name, &step).map(|appended| {
                if let Some(blocks) = appended {
                    out.push_str(r#""blocks":["#);
                    numbers(out, &blocks);
                    out.push(']');
                }
            })
        }
        "Free" => {
            manager.free(name);
            Ok(())
        }
        "CacheBlocks" => manager.cache_blocks(name, operation.get("tokens").count(0)),
        "Evict" => {
            let blocks: Vec<usize> = operation
                .get("blocks")
                .list()
                .iter()
                .map(|block| block.count(0))
                .collect();
            manager.evict(&blocks)
        }
        "Reset" => {
            let _ = write!(out, r#""done":{}"#, manager.reset());
            Ok(())
        }
        // Full attention reads every token for good; and no state is computed step by step.
        "RemoveSkipped" | "NewStep" | "StepEnds" | "TakeEvents" => Ok(()),
        "TakeNewBlockIds" => {
            out.push_str(r#""numbers":"#);
            numbers(out, &manager.take_new_blocks());
            Ok(())
        }
        "TakeStats" => {
            let stats = manager.take_stats();
            if manager.configuration.log_stats {
                out.push_str(r#""stats":"#);
                counts(out, &stats);
            }
            Ok(())
        }
        "CommonPrefix" => {
            let _ = write!(out, r#""numbers":[{}]"#, manager.common_prefix(name));
            Ok(())
        }
        "GetBlocks" => {
            out.push_str(r#""blocks":["#);
            numbers(out, manager.tables.get(name).map_or(&[], |table| &table.blocks));
            out.push(']');
            Ok(())
        }
        other => return Err(format!("no operation is called {other:?}")),
    };
    if let Err(mistake) = result {
        let _ = write!(out, r#""error":"{mistake}"}}"#);
        return Ok(true);
    }
    let events = manager.take_events();
    if !events.is_empty() {
        out.push_str(if out.ends_with('{') {
            r#""events":"#
        } else {
            r#","events":"#
        });
        let size = manager.configuration.block_size;
        list(out, &events, |out, event| tell(out, event, kind, size));
    }
    out.push('}');
    Ok(false)
}

fn named(value: &Value) -> Option<String> {
    value.text().filter(|name| !name.is_empty()).map(str::to_string)
}

fn items(operation: &Value, shift: usize) -> Vec<Item> {
    let item = |value: &Value| match value.list() {
        [name, offset, length] => Some(Item {
            name: name.text()?.to_string(),
            offset: offset.count(0) + shift,
            length: length.count(0),
        }),
        _ => None,
    };
    operation.get("items").list().iter().filter_map(item).collect()
}

fn numbers(out: &mut String, values: &[usize]) {
    list(out, values, |out, value| {
        let _ = write!(out, "{value}");
    });
}

fn counts(out: &mut String, stats: &Stats) {
    let _ = write!(out, "[{}", stats.reset);
    for count in stats.first.iter().chain(&stats.preempted) {
        let _ = write!(out, ",{count}");
    }
    out.push(']');
}

fn tell(out: &mut String, event: &Event, kind: &str, block_size: usize) {
    match event {
        Event::Stored {
            hashes,
            parent,
            tokens,
            adapter,
            keys,
        } => {
            out.push_str(r#"{"type":"BlockStored","block_hashes":"#);
            list(out, hashes, |out, hash| quote(out, hash));
            out.push_str(r#","parent_block_hash":"#);
            or_null(out, parent.as_ref(), |out, hash: &Hash| quote(out, hash));
            out.push_str(r#","token_ids":"#);
            list(out, tokens, |out, token| {
                let _ = write!(out, "{token}");
            });
            let _ = write!(
                out,
                r#","block_size":{block_size},"medium":"GPU","kv_cache_spec_kind":"{kind}""#
            );
            if let Some(name) = adapter {
                let _ = write!(out, r#","lora_id":{ADAPTER_ID},"lora_name":"#);
                quote(out, name);
            }
            out.push_str(r#","extra_keys":"#);
            list(out, keys, |out, keys| {
                let some = Some(keys).filter(|keys| !keys.is_empty());
                or_null(out, some, |out, keys| list(out, keys, tell_key));
            });
            out.push('}');
        }
        Event::Removed(hash) => {
            out.push_str(r#"{"type":"BlockRemoved","medium":"GPU","block_hashes":["#);
            quote(out, hash);
            out.push_str("]}");
        }
        Event::Cleared => out.push_str(r#"{"type":"AllBlocksCleared"}"#),
    }
}

fn tell_key(out: &mut String, key: &Key) {
    match key {
        Key::Name(name) => quote(out, name),
        Key::Item(name, offset) => {
            out.push('[');
            quote(out, name);
            let _ = write!(out, ",{offset}]");
        }
    }
}

fn or_null<T>(out: &mut String, value: Option<T>, write: impl FnOnce(&mut String, T)) {
    match value {
        Some(value) => write(out, value),
        None => out.push_str("null"),
    }
}

fn key(out: &mut String, hash: &str) {
    quote(out, hash);
    out.insert_str(out.len() - 1, GROUP);
}

/// Write the manager's state.
fn show(manager: &Manager, out: &mut String) {
    let pool = &manager.pool;
    out.push_str(r#"{"ref_counts":"#);
    numbers(out, &pool.users);
    out.push_str(r#","keys":"#);
    list(out, &pool.content, |out, hash| {
        or_null(out, hash.as_ref(), |out, hash| key(out, hash))
    });
    out.push_str(r#","free_queue":"#);
    list(out, pool.free_blocks(), |out, block| {
        let _ = write!(out, "{block}");
    });
    out.push_str(r#","prefix_map":"#);
    list(out, &pool.map, |out, (hash, holders)| {
        out.push('[');
        key(out, hash);
        out.push(',');
        numbers(out, holders);
        out.push(']');
    });
    for (field, is_tables) in [("tables", true), ("handled", false)] {
        let _ = write!(out, r#","{field}":{{"#);
        for (index, (name, table)) in manager.tables.iter().enumerate() {
            out.push_str(if index > 0 { "," } else { "" });
            quote(out, name);
            if is_tables {
                out.push_str(":[");
                numbers(out, &table.blocks);
                out.push(']');
            } else {
                let _ = write!(out, ":[{}]", table.handled);
            }
        }
        out.push('}');
    }
    let _ = write!(out, r#","usage":{}"#, pool.usage());
    if manager.configuration.log_stats {
        out.push_str(r#","stats":"#);
        counts(out, &manager.stats);
    }
    out.push('}');
}
