use super::*;

fn verifier() -> (LegacyVerifier, mpsc::UnboundedReceiver<Upgrade>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (LegacyVerifier::new(sender), receiver)
}

/// One in which nothing begins before it goes on.
fn halted() -> (LegacyVerifier, mpsc::UnboundedReceiver<Upgrade>) {
    let (verifier, upgrades) = verifier();
    verifier.0.lock().running = AT_ONCE;
    (verifier, upgrades)
}

fn go_on(verifier: &LegacyVerifier) {
    let mut state = verifier.0.lock();
    state.running = 0;
    verifier.0.begin(&mut state);
}

fn candidates(keys: &[&str]) -> Arc<[LegacyKey]> {
    keys.iter()
        .map(|key| LegacyKey {
            id: Uuid::now_v7(),
            hash: bcrypt::hash(key, 4).unwrap().into(),
        })
        .collect()
}

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn a_valid_key_is_found_and_rewritten_once() {
    let (verifier, mut upgrades) = verifier();
    let candidates = candidates(&["one", "two"]);
    let verdict = verifier.verify(&candidates, b"two", [2; 32], FROM).await;
    assert_eq!(verdict, Verdict::Valid(candidates[1].id));
    assert_eq!(
        verifier.verify(&candidates, b"two", [2; 32], FROM).await,
        verdict
    );
    let upgrade = upgrades.recv().await.unwrap();
    assert_eq!((upgrade.id, upgrade.digest), (candidates[1].id, [2; 32]));
    assert!(upgrades.try_recv().is_err());
}

#[tokio::test]
async fn a_key_that_is_revoked_after_it_was_verified_is_refused() {
    let (verifier, _upgrades) = verifier();
    let known = candidates(&["one"]);
    assert_eq!(
        verifier.verify(&known, b"one", [1; 32], FROM).await,
        Verdict::Valid(known[0].id)
    );
    assert_eq!(
        verifier
            .verify(&candidates(&["other"]), b"one", [1; 32], FROM)
            .await,
        Verdict::Invalid
    );
}

#[tokio::test]
async fn a_bad_key_is_remembered() {
    let (verifier, _upgrades) = verifier();
    let known = candidates(&["one"]);
    assert_eq!(
        verifier.verify(&known, b"bad", [9; 32], FROM).await,
        Verdict::Invalid
    );
    // A second look would never come back.
    verifier.0.lock().running = AT_ONCE;
    assert_eq!(
        verifier.verify(&known, b"bad", [9; 32], FROM).await,
        Verdict::Invalid
    );
}

#[tokio::test]
async fn requests_with_one_key_wait_for_one_verification() {
    let (verifier, mut upgrades) = halted();
    let known = candidates(&["one"]);
    let waiters: Vec<_> = (0..50)
        .map(|_| {
            verifier
                .0
                .enter(&known, b"one", [1; 32], FROM)
                .unwrap_or_else(|v| panic!("{v:?}"))
        })
        .collect();
    go_on(&verifier);
    for mut waiter in waiters {
        assert_eq!(waiter.verdict().await, Verdict::Valid(known[0].id));
    }
    upgrades.recv().await.unwrap();
    assert!(upgrades.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_while_and_leaves_no_place_behind() {
    let (verifier, _upgrades) = halted();
    let known = candidates(&["one"]);
    let since = tokio::time::Instant::now();
    let verdict = verifier.verify(&known, b"one", [1; 32], FROM).await;
    assert_eq!(verdict, Verdict::Busy);
    assert_eq!(since.elapsed(), PATIENCE);
    assert!(verifier.0.lock().flights.is_empty());
    assert!(verifier.0.lock().queue.next(Instant::now()).is_none());
}

#[tokio::test]
async fn who_leaves_takes_only_an_own_place_along() {
    let (verifier, _upgrades) = halted();
    let known = candidates(&["one"]);
    let enter = || verifier.0.enter(&known, b"one", [1; 32], FROM);
    let (first, second) = (enter(), enter());
    drop(first);
    assert_eq!(verifier.0.lock().flights.len(), 1);
    drop(second);
    assert!(verifier.0.lock().flights.is_empty());
}

/// Whoever is too late for the verdict finds it at the next try.
#[tokio::test]
async fn what_has_begun_is_found_out_without_anyone_waiting() {
    let (verifier, mut upgrades) = verifier();
    let known = candidates(&["one"]);
    drop(verifier.0.enter(&known, b"one", [1; 32], FROM));
    assert_eq!(upgrades.recv().await.unwrap().id, known[0].id);
    assert!(verifier.0.enter(&known, b"one", [1; 32], FROM).is_err());
}

/// Nine addresses keep as many bad keys waiting as they can. A tenant's key is the next that is looked at.
#[tokio::test]
async fn a_flood_of_bad_keys_waits_behind_a_tenant() {
    let (verifier, mut upgrades) = verifier();
    let known = candidates(&["one"]);
    let flood = |round: u8| {
        let mut waiters = Vec::new();
        for number in 0..200_u8 {
            let from = IpAddr::from([192, 0, 2, number % 9]);
            let digest = [[round; 16], [number; 16]].concat().try_into().unwrap();
            waiters.extend(verifier.0.enter(&known, b"bad", digest, from).ok());
        }
        waiters
    };
    for mut waiter in flood(1) {
        assert_eq!(waiter.verdict().await, Verdict::Invalid);
    }
    verifier.0.lock().running = AT_ONCE;
    let waiters = flood(2);
    assert!(waiters.len() > 9);
    let mut tenant = verifier
        .0
        .enter(&known, b"one", [7; 32], FROM)
        .unwrap_or_else(|verdict| panic!("{verdict:?}"));
    {
        let mut state = verifier.0.lock();
        state.running = AT_ONCE - 1;
        verifier.0.begin(&mut state);
        assert!(state.flights[&[7; 32]].has_begun);
        assert_eq!(state.running, AT_ONCE);
    }
    assert_eq!(tenant.verdict().await, Verdict::Valid(known[0].id));
    drop(waiters);
    upgrades.recv().await.unwrap();
}

#[test]
fn a_key_beyond_what_bcrypt_reads_is_no_match() {
    let long = "k".repeat(72);
    let hash = bcrypt::hash(&long, 4).unwrap();
    assert!(is_match(long.as_bytes(), &hash));
    assert!(!is_match(format!("{long}x").as_bytes(), &hash));
}
