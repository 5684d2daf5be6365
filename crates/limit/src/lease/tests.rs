use smallvec::smallvec;

use super::*;
use crate::message::ReplyWindow;
use crate::ring::Geometry;

const START: u64 = 1 << 40;

/// One limit on one node, and what Redis would count.
struct Bench {
    lease: Lease,
    tally: Tally,
    windows: [Window; 1],
    nodes: Nodes,
    used: u32,
}

impl Bench {
    fn new(limit: u32, count: u32) -> Self {
        let windows = [Window::new(limit, 60_000_000)];
        let cut: Geometries = smallvec![Geometry::new(&windows[0], 10_000)];
        Self {
            lease: Lease::new(cut.clone()),
            tally: Tally::new(&cut),
            windows,
            nodes: Nodes { count, rank: 0 },
            used: 0,
        }
    }

    fn ask(&mut self, now: u64) -> Request {
        assert!(self.lease.ask());
        let now = self.tally.advance(now);
        self.lease
            .request(now, &mut self.tally, &self.windows, self.nodes, false)
    }

    fn answer(&mut self, now: u64, granted: u32, retry: u64) {
        self.used += granted;
        let reply = Reply {
            status: Status::Ok,
            granted,
            valid: 1_000_000,
            retry,
            windows: smallvec![ReplyWindow {
                generation: 1,
                bucket: 7,
                used: self.used,
            }],
        };
        self.lease
            .reply(now, now, &self.tally, &self.windows, self.nodes, &reply);
    }

    fn admit_unleased(&mut self, now: u64) {
        self.tally.advance(now);
        self.tally.add();
        self.lease.add_unleased(now, false);
    }
}

#[test]
fn a_late_answer_pays_for_the_request_that_did_not_wait_for_it() {
    let mut bench = Bench::new(2, 2);
    bench.lease.wait();
    assert_eq!(bench.ask(START).must, 1);
    bench.admit_unleased(START + 5_000);
    bench.lease.leave();
    bench.answer(START + 9_000, 1, 0);
    assert_eq!(bench.lease.live(START + 9_000), 0, "it is not spent twice");
    let next = bench.ask(START + 10_000);
    assert!(!next.away && next.windows[0].reports.is_empty() && next.want == 0);
}

#[test]
fn a_debt_is_billed_with_the_next_message_and_reported_if_it_cannot_be_paid() {
    let mut bench = Bench::new(4, 2);
    bench.admit_unleased(START);
    assert_eq!(bench.lease.due(START), Due::Ask);
    let bill = bench.ask(START);
    assert_eq!((bill.must, bill.away), (1, false));
    bench.answer(START + 1_000, 0, 50_000_000);
    assert_eq!(bench.lease.due(START + 1_000), Due::Ask);
    let report = bench.ask(START + 1_000);
    assert_eq!((report.must, report.away), (0, true));
    assert_eq!(report.windows[0].reports.len(), 1);
}

#[test]
fn what_was_admitted_while_redis_was_away_is_reported() {
    let mut bench = Bench::new(4, 2);
    bench.lease.add_unleased(START, true);
    assert!(bench.ask(START).away);
    // Not answered: it is said again.
    bench.lease.failed(START);
    assert!(bench.ask(START + 1_000).away);
}

#[test]
fn a_denial_is_checked_again_by_one_request() {
    let mut bench = Bench::new(1, 2);
    bench.lease.wait();
    bench.ask(START);
    bench.answer(START, 0, 50_000_000);
    bench.lease.leave();
    assert_eq!(bench.lease.stance(START + 1), Stance::Refuse(49_999_999));
    let later = START + RECHECK;
    assert_eq!(bench.lease.stance(later), Stance::Ask);
    bench.lease.wait();
    assert!(bench.lease.ask());
    assert_eq!(
        bench.lease.stance(later),
        Stance::Refuse(50_000_000 - RECHECK)
    );
}

#[test]
fn a_returned_permit_of_a_small_limit_goes_back_with_the_next_message() {
    let mut bench = Bench::new(3, 2);
    bench.lease.wait();
    bench.ask(START);
    bench.answer(START, 1, 0);
    assert!(bench.lease.spend(START));
    bench.lease.leave();
    assert!(bench.lease.take_back(START, START + 500_000));
    let refund = bench.ask(START + 500_000);
    assert_eq!(refund.windows[0].refunds.as_slice(), &[(7, 1)]);
}

#[test]
fn permits_not_touched_go_back_although_others_of_the_lease_were_spent() {
    let mut bench = Bench::new(1000, 2);
    bench.lease.wait();
    bench.ask(START);
    bench.answer(START, 10, 0);
    assert!(bench.lease.spend(START));
    bench.lease.leave();
    assert_eq!(bench.lease.due(START), Due::At(START + HOLD));
    assert_eq!(bench.lease.due(START + HOLD), Due::Ask);
    let refund = bench.ask(START + HOLD);
    assert_eq!(refund.windows[0].refunds.as_slice(), &[(7, 9)]);
}
