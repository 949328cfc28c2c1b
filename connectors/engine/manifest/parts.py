"""What the parts of a manifest are made of: checked strings, and a base that refuses unknown names."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from connectors.engine.template.paths import compile_path
from connectors.engine.template.placeholders import problems, text_problems


class Part(BaseModel):
    """Immutable; an unknown name is an error, so that a misspelling is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def is_path(expression: str) -> str:
    compile_path(expression)
    return expression


def is_text(text: str) -> str:
    for problem in text_problems(text):
        raise ValueError(problem)
    return text


def is_shape(shape: Any) -> Any:
    for problem in problems(shape):
        raise ValueError(problem)
    return shape


Path = Annotated[str, AfterValidator(is_path), Field(description="JMESPath")]
Text = Annotated[str, AfterValidator(is_text), Field(description="Text with {field} and {settings.name} in it.")]
Shape = Annotated[Any, AfterValidator(is_shape), Field(description="A JSON value with $ placeholders.")]
Status = Annotated[int, Field(ge=100, le=599)]
