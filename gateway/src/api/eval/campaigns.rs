//! Campaigns: made and closed by evaluators, read by auditors too; annotated by whoever they name, one item at a time.

use axum::Json as Answer;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Part, organization_of};
use crate::api::admin::{allowed, visible};
use crate::api::json::{Json, Query};
use crate::app::{App, AppState};
use crate::error::{ApiError, ApiResult};
use crate::evaluation::campaign::{self, Ask};
use crate::policy::identity::Principal;
use crate::store::annotations::CampaignItem;
use crate::store::campaigns::{Campaign, Progress};
use crate::store::page::Reach;
use crate::store::time::Time;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(retrieve, update)).routes(routes!(items))
}

/// What somebody may do with a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    /// Its settings and progress; its results.
    pub reads: bool,
    pub annotates: bool,
}

pub(super) fn rights(who: &Principal, campaign: &Campaign) -> Rights {
    let organization = campaign.organization_id;
    let reads = match organization {
        Some(id) => who.can_read_content(id),
        None => who.content_reach() == Reach::Everything,
    };
    let evaluates = who.can_evaluate(organization);
    let named = who.member_id().is_some_and(|member| campaign.annotators.contains(&member));
    let annotates = match campaign.annotators.is_empty() {
        true => evaluates,
        // Named without a role, a member annotates in their own organization and sees nothing else there.
        false => named && (evaluates || who.organization_id() == organization),
    };
    Rights { reads, annotates }
}

/// A campaign that the caller may read or annotate.
pub(super) async fn find(app: &App, who: &Principal, id: i64) -> ApiResult<(Campaign, Rights)> {
    let found = app.store.campaign(id).await?;
    let campaign = visible(found, |campaign| {
        let rights = rights(who, campaign);
        rights.reads || rights.annotates
    })?;
    let rights = rights(who, &campaign);
    Ok((campaign, rights))
}

/// A campaign whose results are open to the caller: not to who annotates it, until nothing is left to annotate.
pub(super) async fn results(app: &App, who: &Principal, id: i64) -> ApiResult<Campaign> {
    let (campaign, rights) = find(app, who, id).await?;
    allowed(rights.reads)?;
    let member = who.member_id().unwrap_or_default();
    if campaign.closed.is_none()
        && app.store.annotates(campaign.id, member).await?
        && !app.store.campaign_progress(&campaign).await?.is_done()
    {
        return Err(ApiError::conflict(
            "Vous annotez dans cette campagne : ses résultats vous seront ouverts quand elle sera finie ou close.",
            "You annotate in this campaign: its results open to you once it is done or closed.",
        )
        .code("campaign_open"));
    }
    Ok(campaign)
}

/// A campaign as the caller may see it.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
enum Seen {
    Whole {
        #[serde(flatten)]
        campaign: Box<Campaign>,
        progress: Progress,
    },
    /// For who annotates it and has no role there.
    Part {
        id: i64,
        name: String,
        organization_id: Option<i64>,
        instructions: String,
        grid: String,
        criteria: Vec<String>,
        #[schema(value_type = Option<i64>)]
        closed: Option<Time>,
    },
}

async fn seen(app: &App, campaign: Campaign, rights: Rights) -> ApiResult<Seen> {
    if rights.reads {
        let progress = app.store.campaign_progress(&campaign).await?;
        return Ok(Seen::Whole { campaign: Box::new(campaign), progress });
    }
    let Campaign { id, name, organization_id, instructions, grid, criteria, closed, .. } = campaign;
    Ok(Seen::Part { id, name, organization_id, instructions, grid, criteria, closed })
}

/// Campaigns, newest first.
#[derive(Serialize, utoipa::ToSchema)]
struct CampaignList {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<Seen>,
}

/// Campaigns that the caller may read or annotate, newest first, with their progress.
#[utoipa::path(get, path = "/v1/eval/campaigns", tag = "Evaluation", security(("key" = [])), params(Part),
    responses((status = 200, body = CampaignList)))]
async fn list(
    State(app): State<AppState>,
    who: Principal,
    Query(part): Query<Part>,
) -> ApiResult<Answer<CampaignList>> {
    let (limit, offset) = part.bounds()?;
    let mut data = Vec::new();
    for campaign in app.store.campaigns(&who.content_reach(), who.member_id(), limit, offset).await? {
        let rights = rights(&who, &campaign);
        if rights.reads || rights.annotates {
            data.push(seen(&app, campaign, rights).await?);
        }
    }
    Ok(Answer(CampaignList { object: "list", data }))
}

/// Make a campaign of a sample's records or of rows given, on the human criteria of a grid; from then on the grid never
/// changes.
#[utoipa::path(post, path = "/v1/eval/campaigns", tag = "Evaluation", security(("key" = [])), request_body = Ask,
    responses((status = 201, body = Seen), (status = 403, description = "The caller evaluates nothing here")))]
async fn create(
    State(app): State<AppState>,
    who: Principal,
    Json(mut ask): Json<Ask>,
) -> ApiResult<(StatusCode, Answer<Seen>)> {
    if let (Some(id), None) = (ask.sample_id, ask.organization_id) {
        let sample = app.store.sample(&super::reach(&who)?, id).await?;
        ask.organization_id = sample.ok_or_else(|| ApiError::not_found().param("sample_id"))?.organization_id;
        allowed(who.can_evaluate(ask.organization_id))?;
    } else {
        ask.organization_id = organization_of(&who, ask.organization_id)?;
    }
    let made = campaign::create(&app.store, who.actor(), ask).await?;
    let rights = rights(&who, &made);
    Ok((StatusCode::CREATED, Answer(seen(&app, made, rights).await?)))
}

/// One campaign with its progress.
#[utoipa::path(get, path = "/v1/eval/campaigns/{id}", tag = "Evaluation", security(("key" = [])), params(("id" = i64, Path)),
    responses((status = 200, body = Seen), (status = 404, description = "Unknown, or not visible")))]
async fn retrieve(State(app): State<AppState>, who: Principal, Path(id): Path<i64>) -> ApiResult<Answer<Seen>> {
    let (campaign, rights) = find(&app, &who, id).await?;
    Ok(Answer(seen(&app, campaign, rights).await?))
}

/// What changes in a campaign.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CampaignPatch {
    /// True: nobody is given anything any more, and no answer is taken. False: it goes on.
    closed: bool,
}

/// Close a campaign, or open it again.
#[utoipa::path(patch, path = "/v1/eval/campaigns/{id}", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path)), request_body = CampaignPatch,
    responses((status = 200, body = Seen), (status = 404, description = "Unknown, or not visible")))]
async fn update(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Json(form): Json<CampaignPatch>,
) -> ApiResult<Answer<Seen>> {
    let (campaign, _) = find(&app, &who, id).await?;
    allowed(who.can_evaluate(campaign.organization_id))?;
    let mut change = app.store.edit(who.actor()).await?;
    change.close_campaign(campaign.id, form.closed).await?;
    change.commit().await?;
    let (campaign, rights) = find(&app, &who, id).await?;
    Ok(Answer(seen(&app, campaign, rights).await?))
}

/// Items of a campaign, in their order.
#[derive(Serialize, utoipa::ToSchema)]
struct CampaignItems {
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<CampaignItem>,
}

/// The items of a campaign with what answered them, how many people did, and whether their content is gone. Not for who still
/// annotates it.
#[utoipa::path(get, path = "/v1/eval/campaigns/{id}/items", tag = "Evaluation", security(("key" = [])),
    params(("id" = i64, Path), Part),
    responses((status = 200, body = CampaignItems), (status = 404, description = "Unknown, or not visible"), (status = 409, description = "The caller still annotates it")))]
async fn items(
    State(app): State<AppState>,
    who: Principal,
    Path(id): Path<i64>,
    Query(part): Query<Part>,
) -> ApiResult<Answer<CampaignItems>> {
    let campaign = results(&app, &who, id).await?;
    let (limit, offset) = part.bounds()?;
    let data = app.store.campaign_items(campaign.id, limit, offset).await?;
    Ok(Answer(CampaignItems { object: "list", data }))
}
