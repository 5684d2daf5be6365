//! Messages about limits, as calls of scripts.

use bastide_store::{Call, Reply as Value};
use smallvec::SmallVec;

use crate::key::LimitKey;
use crate::message::{Reply, ReplyWindow, Request, Status};
use crate::policy::Window;
use crate::ring::Geometry;
use crate::share::Nodes;

/// Leases, refunds and reports of one limit.
pub(super) const LEASE_SCRIPT: &str = include_str!("lease.lua");
/// The heartbeat.
pub(super) const NODES_SCRIPT: &str = include_str!("nodes.lua");

/// What every call of a session carries.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    pub prefix: &'a str,
    /// The life of the server this session talks to.
    pub life: &'a str,
    /// How long the server is still so young that nodes may not have reported yet, microseconds.
    pub probation: u64,
    pub grace: u64,
    /// The time to count at; the server's own where absent. Lets a test hold the clock.
    pub time: Option<u64>,
}

/// A script call for one message. The windows' keys differ in the length of their buckets, so that a change of the
/// windows never mixes counts, and share a hash tag, so that Redis Cluster keeps them together.
pub(super) fn call(
    setting: &Setting<'_>,
    key: &LimitKey,
    windows: &[Window],
    geometries: &[Geometry],
    request: &Request,
) -> Call {
    let mut call = Call::new();
    for geometry in geometries {
        let cut = format!("{}x{}", geometry.bucket(), geometry.buckets());
        call = call.key(format!("{}:{{{key}}}:{cut}", setting.prefix));
    }
    call = call
        .arg(
            setting
                .time
                .map_or_else(String::new, |time| time.to_string()),
        )
        .arg(setting.life)
        .number(request.must.into())
        .number(request.want.into())
        .number(request.room.into())
        .number(request.room_after)
        .number(request.nodes.into())
        .number(request.away.into())
        .number(setting.probation)
        .number(setting.grace);
    for ((window, geometry), part) in windows.iter().zip(geometries).zip(&request.windows) {
        call = call
            .number(window.limit().into())
            .number(geometry.bucket())
            .number(geometry.buckets().into())
            .number(part.generation)
            .number(part.refunds.len() as u64);
        for (bucket, count) in &part.refunds {
            call = call.number(*bucket).number((*count).into());
        }
        call = call.number(part.reports.len() as u64);
        for (age, count) in &part.reports {
            call = call.number(*age).number((*count).into());
        }
    }
    call
}

/// Reads the script's answer. `None` if it is not one.
pub(super) fn reply(value: &Value) -> Option<Reply> {
    let Value::List(values) = value else {
        return None;
    };
    let numbers: Vec<u64> = values.iter().map(number).collect::<Option<_>>()?;
    let [status, granted, valid, retry, windows @ ..] = numbers.as_slice() else {
        return None;
    };
    let status = match status {
        0 => Status::Ok,
        1 => Status::Recovering,
        2 => Status::Lost,
        _ => return None,
    };
    let windows: SmallVec<[ReplyWindow; 2]> = windows
        .chunks_exact(3)
        .map(|part| ReplyWindow {
            generation: part[0],
            bucket: part[1],
            used: count(part[2]),
        })
        .collect();
    Some(Reply {
        status,
        granted: count(*granted),
        valid: *valid,
        retry: *retry,
        windows,
    })
}

pub(super) fn nodes_call(prefix: &str, name: &str, patience: u64) -> Call {
    Call::new()
        .key(format!("{prefix}:nodes"))
        .arg(name)
        .number(patience)
}

pub(super) fn nodes(value: &Value) -> Option<Nodes> {
    let Value::List(values) = value else {
        return None;
    };
    let [nodes, rank] = values.as_slice() else {
        return None;
    };
    Some(Nodes {
        count: count(number(nodes)?).max(1),
        rank: count(number(rank)?),
    })
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        Value::Nil | Value::List(_) => None,
    }
}
