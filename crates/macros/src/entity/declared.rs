//! What the author declared, read and checked.

use syn::ext::IdentExt as _;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Type, Visibility};

use crate::errors::Errors;

/// Postgres keeps so many bytes of a name; the rest of a longer one is cut off in silence.
const MAX_NAME: usize = 63;
/// What the longest generated name adds to table and column: `_` between them and `_fkey` behind.
const NAME_OVERHEAD: usize = 6;

pub(super) struct Entity {
    pub name: Ident,
    pub visibility: Visibility,
    pub table: LitStr,
    pub traits: Traits,
    pub fields: Vec<Field>,
}

#[derive(Default)]
pub(super) struct Traits {
    pub tenant: bool,
    pub soft_delete: bool,
    pub timestamps: bool,
    pub audit: bool,
    pub version: bool,
}

pub(super) struct Field {
    pub name: Ident,
    pub ty: Type,
    pub is_id: bool,
    pub is_indexed: bool,
    pub is_unique: bool,
    pub belongs_to: Option<Type>,
    /// Kept by the repository; the field only shows it.
    pub managed: Option<Managed>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Managed {
    Tenant,
    CreatedAt,
    UpdatedAt,
    DeletedAt,
    Version,
}

impl Entity {
    pub(super) fn read(input: &DeriveInput) -> Result<Self> {
        let Data::Struct(data) = &input.data else {
            return Err(Error::new_spanned(
                &input.ident,
                "an entity is a struct: its fields are the columns",
            ));
        };
        let Fields::Named(named) = &data.fields else {
            return Err(Error::new_spanned(
                &input.ident,
                "an entity has named fields: their names are the columns' names",
            ));
        };
        if !input.generics.params.is_empty() {
            return Err(Error::new_spanned(
                &input.generics,
                "an entity has no parameters: one struct is one table",
            ));
        }
        let (table, traits) = read_table(input)?;
        let mut errors = Errors::default();
        let fields: Vec<Field> = named
            .named
            .iter()
            .filter_map(|field| errors.keep(Field::read(field, &traits)))
            .collect();
        let entity = Self {
            name: input.ident.clone(),
            visibility: input.vis.clone(),
            table,
            traits,
            fields,
        };
        errors.keep(entity.check());
        errors.finish(entity)
    }

    pub(super) fn id(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.is_id)
    }

    /// The columns whose values come from the fields.
    pub(super) fn own(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.managed.is_none())
    }

    fn check(&self) -> Result<()> {
        let mut errors = Errors::default();
        let ids: Vec<&Field> = self.fields.iter().filter(|field| field.is_id).collect();
        if ids.is_empty() {
            errors.push(Error::new_spanned(
                &self.name,
                "an entity needs one field with `#[entity(id)]`",
            ));
        }
        for second in ids.iter().skip(1) {
            errors.push(Error::new_spanned(
                &second.name,
                "an entity has one id, and another field is it already; for a second key say `#[entity(unique)]`",
            ));
        }
        if self.traits.version
            && !self
                .fields
                .iter()
                .any(|field| field.managed == Some(Managed::Version))
        {
            errors.push(Error::new_spanned(
                &self.name,
                "`version` needs the field `version: i64`: an update compares it with the row's",
            ));
        }
        if self.traits.audit && !self.traits.tenant {
            errors.push(Error::new_spanned(
                &self.name,
                "`audit` needs `tenant`: what was done is kept by tenant",
            ));
        }
        for field in self
            .fields
            .iter()
            .filter(|field| field.belongs_to.is_some())
        {
            let relation = field.relation();
            let named = |other: &&Field| Some(other.name.unraw().to_string()) == relation;
            if let Some(other) = self.fields.iter().find(named) {
                errors.push(Error::new_spanned(
                    &other.name,
                    format!(
                        "the relation by `{}` has this name already; give the field another one",
                        field.name.unraw()
                    ),
                ));
            }
        }
        for field in &self.fields {
            let length =
                self.table.value().len() + field.name.unraw().to_string().len() + NAME_OVERHEAD;
            if length > MAX_NAME {
                errors.push(Error::new_spanned(
                    &field.name,
                    format!(
                        "table and column together may have {} characters, because indexes are named after both; these have {}",
                        MAX_NAME - NAME_OVERHEAD,
                        length - NAME_OVERHEAD
                    ),
                ));
            }
        }
        errors.finish(())
    }
}

fn read_table(input: &DeriveInput) -> Result<(LitStr, Traits)> {
    let (mut table, mut traits) = (None, Traits::default());
    for attribute in own_attributes(&input.attrs) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("table") {
                let name: LitStr = meta.value()?.parse()?;
                check_name(&name.value()).map_err(|reason| Error::new_spanned(&name, reason))?;
                return set(&mut table, name, &meta);
            }
            let flag = match meta.path.get_ident().map(ToString::to_string).as_deref() {
                Some("tenant") => &mut traits.tenant,
                Some("soft_delete") => &mut traits.soft_delete,
                Some("timestamps") => &mut traits.timestamps,
                Some("audit") => &mut traits.audit,
                Some("version") => &mut traits.version,
                _ => return Err(meta.error(
                    "not known here; an entity has `table = \"..\"`, `tenant`, `soft_delete`, `timestamps`, `audit`, `version`",
                )),
            };
            if std::mem::replace(flag, true) {
                return Err(meta.error("said twice"));
            }
            Ok(())
        })?;
    }
    let table = table.ok_or_else(|| {
        Error::new_spanned(
            &input.ident,
            "an entity names its table: `#[entity(table = \"..\")]`",
        )
    })?;
    Ok((table, traits))
}

impl Field {
    fn read(field: &syn::Field, traits: &Traits) -> Result<Self> {
        let name = field
            .ident
            .clone()
            .ok_or_else(|| Error::new_spanned(field, "an entity has named fields"))?;
        let text = name.unraw().to_string();
        check_name(&text).map_err(|reason| Error::new_spanned(&name, reason))?;
        let managed = match text.as_str() {
            "tenant_id" if !traits.tenant => {
                return Err(Error::new_spanned(
                    &name,
                    "`tenant_id` is kept by the repository: say `#[entity(tenant)]` at the struct",
                ));
            }
            "tenant_id" => Some(Managed::Tenant),
            "created_at" if traits.timestamps => Some(Managed::CreatedAt),
            "updated_at" if traits.timestamps => Some(Managed::UpdatedAt),
            "deleted_at" if traits.soft_delete => Some(Managed::DeletedAt),
            "version" if traits.version => Some(Managed::Version),
            _ => None,
        };
        let mut read = Self {
            name,
            ty: field.ty.clone(),
            is_id: false,
            is_indexed: false,
            is_unique: false,
            belongs_to: None,
            managed,
        };
        for attribute in own_attributes(&field.attrs) {
            attribute.parse_nested_meta(|meta| read.attribute(&meta))?;
        }
        if read.belongs_to.is_some() && read.relation().is_none() {
            return Err(Error::new_spanned(
                &read.name,
                "a field that belongs to another entity ends in `_id`: `author_id` makes the relation `AUTHOR`",
            ));
        }
        if read.is_id && read.belongs_to.is_some() {
            return Err(Error::new_spanned(
                &read.name,
                "the id cannot belong to another entity; give that reference a field of its own",
            ));
        }
        Ok(read)
    }

    fn attribute(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if let Some(managed) = self.managed {
            return Err(meta.error(format!(
                "`{}` is kept by the repository; its field takes no attributes",
                managed.column()
            )));
        }
        if meta.path.is_ident("belongs_to") {
            let target = meta.value()?.parse()?;
            return set(&mut self.belongs_to, target, meta);
        }
        let flag = if meta.path.is_ident("id") {
            &mut self.is_id
        } else if meta.path.is_ident("index") {
            &mut self.is_indexed
        } else if meta.path.is_ident("unique") {
            &mut self.is_unique
        } else {
            return Err(meta.error(
                "not known here; a field has `id`, `index`, `unique`, `belongs_to = Entity`",
            ));
        };
        if std::mem::replace(flag, true) {
            return Err(meta.error("said twice"));
        }
        Ok(())
    }

    /// The name of the relation that the field makes.
    pub(super) fn relation(&self) -> Option<String> {
        let name = self.name.unraw().to_string();
        name.strip_suffix("_id")
            .filter(|stem| !stem.is_empty())
            .map(str::to_owned)
    }
}

impl Managed {
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Tenant => "tenant_id",
            Self::CreatedAt => "created_at",
            Self::UpdatedAt => "updated_at",
            Self::DeletedAt => "deleted_at",
            Self::Version => "version",
        }
    }
}

fn own_attributes(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("entity"))
}

fn set<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(meta.error("said twice"));
    }
    Ok(())
}

/// Names that need no quotes in either database and mean the same in both.
fn check_name(name: &str) -> std::result::Result<(), String> {
    let mut bytes = name.bytes();
    let is_plain = bytes
        .next()
        .is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain {
        Ok(())
    } else {
        Err(format!(
            "`{name}` cannot name a table or column: small letters, digits and `_`, no digit first"
        ))
    }
}
