import { zh } from './zh'
import { hold } from './held'

hold('zh', zh)
