"""`[[alignment.parts]]` of the job file: what an id consists of, and how each part is spelled."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fedchain.data.idrules import IdPart, Rule, in_order
from fedchain.data.phone import PhoneFormat

PartName = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
_Prefix = Annotated[str, Field(pattern=r"^[0-9]{0,4}$")]
_DEFAULT = PhoneFormat()


class IdPartSpec(BaseModel):
    """One part of an id: `[[alignment.parts]]`.

    Attributes:
        name: of the part; parties say which of their columns holds it.
        rules: how it is spelled (`fedchain.data.idrules`); kept in canonical order, with what they bring along.
        country_code: rule `phone`: of numbers without one; without it such numbers are unreadable.
        trunk_prefix: rule `phone`: digits before a national number that are no part of it.
        international_prefix: rule `phone`: digits that stand for `+`.
        national_digits: rule `phone`: lengths of national numbers without their trunk prefix; empty: any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: PartName
    rules: Annotated[tuple[Rule, ...], Field(max_length=16)] = IdPart("").rules
    country_code: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")] | None = None
    trunk_prefix: _Prefix = _DEFAULT.trunk_prefix
    international_prefix: _Prefix = _DEFAULT.international_prefix
    national_digits: Annotated[tuple[Annotated[int, Field(strict=True, ge=4, le=14)], ...], Field(max_length=11)] = (
        _DEFAULT.national_digits
    )

    @field_validator("rules")
    @classmethod
    def _rules_are_canonical(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return in_order(rules)

    @field_validator("national_digits")
    @classmethod
    def _lengths_are_canonical(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(lengths)))

    @model_validator(mode="after")
    def _phone_keys_go_with_phone(self) -> IdPartSpec:
        if "phone" not in self.rules and self.part.phone != _DEFAULT:
            raise ValueError(
                f"part '{self.name}': country_code, trunk_prefix, international_prefix and national_digits go with "
                'rules = ["phone"]'
            )
        return self

    @property
    def part(self) -> IdPart:
        """What it says, as the data's reader takes it."""
        phone = PhoneFormat(self.country_code, self.trunk_prefix, self.international_prefix, self.national_digits)
        return IdPart(self.name, self.rules, phone)
