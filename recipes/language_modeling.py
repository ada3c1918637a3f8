"""Language modeling: perplexity, surprisal, and generated text.

python -m recipes.language_modeling                             on the bundled sample
python -m recipes.language_modeling --data.dataset ptb
echo "The film was good ." | python -m recipes.language_modeling predict --model RUN
python -m recipes.language_modeling generate "The film" --model RUN
"""

from __future__ import annotations

from datamodules.language_modeling import LanguageModelingDataModule
from recipes.baselines.language_modeling import baselines
from recipes.reports import language_modeling
from recipes.runner.cli import main
from recipes.runner.recipe import Recipe
from zoo.models.language_model import LanguageModel

RECIPE = Recipe(
    name="language_modeling",
    model=LanguageModel,
    data=LanguageModelingDataModule,
    defaults={"data.dataset": "sample-text-en"},
    report=language_modeling.LanguageModelingReport.of,
    predict=language_modeling.predict,
    baselines=baselines,
    commands={"generate": language_modeling.generate},
)

if __name__ == "__main__":
    main(RECIPE)
