//! Several calls in one request, each with an answer of its own.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::client::{Client, decode, json};
use crate::credentials::Shown;
use crate::error::CallError;
use crate::exchange::Outgoing;

/// Calls that go together.
///
/// ```no_run
/// # async fn example(client: bastide_client::Client) -> Result<(), bastide_client::CallError> {
/// let mut batch = client.batch();
/// let ada = batch.add::<_, String>("users@1.0.0/name", &7)?;
/// let count = batch.add::<_, u64>("users@1.0.0/count", &())?;
/// let mut answers = batch.send().await?;
/// println!("{} of {}", answers.take(ada)?, answers.take(count)?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Batch<'a> {
    client: &'a Client,
    items: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Item {
    method: String,
    input: Box<RawValue>,
}

/// The place of one call's answer among the answers of its batch.
#[derive(Debug)]
pub struct Slot<O> {
    number: usize,
    output: PhantomData<fn() -> O>,
}

/// What became of each call.
#[derive(Debug)]
pub struct Answers(Vec<Option<Answer>>);

#[derive(Debug, Deserialize)]
struct Answer {
    status: u16,
    #[serde(default)]
    output: Option<Box<RawValue>>,
    #[serde(default)]
    problem: Option<Box<RawValue>>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self {
            client,
            items: Vec::new(),
        }
    }

    /// One more call.
    ///
    /// # Errors
    /// [`CallError::Unsendable`] if the input has no JSON form.
    pub fn add<I, O>(&mut self, method: &str, input: &I) -> Result<Slot<O>, CallError>
    where
        I: Serialize + ?Sized,
        O: DeserializeOwned,
    {
        let input =
            serde_json::value::to_raw_value(input).map_err(|error| CallError::Unsendable {
                reason: format!("the input of {method} has no JSON form: {error}"),
            })?;
        self.items.push(Item {
            method: method.to_owned(),
            input,
        });
        Ok(Slot {
            number: self.items.len() - 1,
            output: PhantomData,
        })
    }

    /// Sends them. A batch without calls is answered without a request.
    ///
    /// # Errors
    /// What concerns the request as a whole: the service cannot be reached, or takes no batch of this size (`batch_size`).
    /// What concerns one call is its own answer.
    pub async fn send(self) -> Result<Answers, CallError> {
        let Self { client, items } = self;
        if items.is_empty() {
            return Ok(Answers(Vec::new()));
        }
        let deadline = client.deadline();
        let all: Vec<_> = items.iter().collect();
        let (mut answers, shown) = client.answers(&all, deadline).await?;
        let expired: Vec<_> = (0..answers.len())
            .filter(|number| answers[*number].is_expired())
            .collect();
        // A call that was refused for its token was not carried out; the others were.
        if !expired.is_empty() && client.credentials.renew(&shown) {
            let again: Vec<_> = expired.iter().map(|number| &items[*number]).collect();
            let (renewed, _) = client.answers(&again, deadline).await?;
            for (number, answer) in expired.into_iter().zip(renewed) {
                answers[number] = answer;
            }
        }
        Ok(Answers(answers.into_iter().map(Some).collect()))
    }
}

impl Client {
    async fn answers(
        &self,
        items: &[&Item],
        deadline: Instant,
    ) -> Result<(Vec<Answer>, Shown), CallError> {
        let outgoing = Outgoing::batch(json(items)?, deadline);
        let (body, shown) = self.attempts(&outgoing, Self::body).await?;
        let answers: Vec<Answer> = decode(&body)?;
        if answers.len() == items.len() {
            Ok((answers, shown))
        } else {
            let reason = format!("{} answers to {} calls", answers.len(), items.len());
            Err(CallError::malformed(200, &reason))
        }
    }
}

impl Answers {
    /// The answer to the call of this slot, which is one of this batch.
    ///
    /// # Errors
    /// As [`Client::call`]; a problem of the call is here, with the others' answers beside it.
    ///
    /// # Panics
    /// If the slot is of another, longer batch, or its answer was already taken through such a slot.
    #[expect(clippy::needless_pass_by_value, reason = "a slot is used up")]
    pub fn take<O: DeserializeOwned>(&mut self, slot: Slot<O>) -> Result<O, CallError> {
        let Slot { number, output: _ } = slot;
        let answer = self.0[number].take();
        let Answer {
            status,
            output,
            problem,
        } = answer.expect("a slot is taken once");
        match (output, problem) {
            (Some(output), None) => decode(output.get().as_bytes()),
            (None, Some(problem)) => Err(CallError::read(status, None, problem.get().as_bytes())),
            _ => Err(CallError::malformed(status, &"neither output nor problem")),
        }
    }
}

impl Answer {
    fn is_expired(&self) -> bool {
        #[derive(Deserialize)]
        struct Code<'a> {
            code: &'a str,
        }
        let problem = self.problem.as_ref().filter(|_| self.status == 401);
        problem
            .and_then(|problem| serde_json::from_str(problem.get()).ok())
            .is_some_and(|Code { code }| code == "token_expired")
    }
}
